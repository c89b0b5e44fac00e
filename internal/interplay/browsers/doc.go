// Package browsers shows what real clients make of a drain: Chromium on the page of examples/live and on pages of its
// own, curl, and Go's client. It holds tests only, in a module of its own, so that nobody else needs what drives a browser.
//
//	cd examples/browser && go test -race ./...
//
// The browser is $LASTCALL_BROWSER, or else the chromium on the PATH; curl is $LASTCALL_CURL, or else the curl there.
// Where one isn't installed its tests are skipped, unless its variable is set: what is asked for by name has to work.
//
// $LASTCALL_DOWNLOAD is how long the downloads of TestDownload take: 3s if unset, 60s for a full run.
package browsers
