// Package browsers tests lastcall with clients that are not ours, in front of whole servers:
// Chromium, on the page of examples/live and on a page of its own, curl, and Go's client. It holds
// tests only.
//
// The browser is $LASTCALL_BROWSER, or else the chromium on the PATH. curl is $LASTCALL_CURL, or
// else the curl there. The tests of a program that isn't installed are skipped, unless its variable
// is set.
//
// $LASTCALL_DOWNLOAD is how long the downloads of TestDownload take: 3s if unset, 60s for a full
// run. $LASTCALL_PICTURES names a folder in which the tests leave pictures of the status page and
// of the live page, by day, by night and on a phone, for people to look at.
package browsers
