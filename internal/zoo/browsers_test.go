package zoo

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sockets are the paths of the WebSockets, by the library of the handler, by whether it closes its
// connection as its context ends, and by whether that is as soon as the farewell is sent.
var sockets = []string{
	"gorilla/waits", "gorilla/closes", "gorilla/closes/soon",
	"coder/waits", "coder/closes", "coder/closes/soon",
}

// chromium opens a page in a Chromium with a profile of its own, which runs until the test ends.
func (z zoo) chromium(t *testing.T) residents {
	path := program(t, "LASTCALL_BROWSER", "chromium")
	page, r := z.page("Chromium", residents{
		streams: []string{"EventSource", "fetch-event-source", "htmx 2", "htmx 4", "Datastar"},
		answers: []string{"fetch"},
		sockets: sockets,
	})
	run(t, exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad",
		"--ignore-certificate-errors", // the certificates are self-signed
		"--user-data-dir="+profile(t), page))
	return r
}

// firefox does the same with Firefox, which has no option to trust a self-signed certificate.
func (z zoo) firefox(t *testing.T) residents {
	path := program(t, "LASTCALL_FIREFOX", "firefox-esr")
	page, r := z.page("Firefox", residents{
		streams: []string{"EventSource"},
		answers: []string{"fetch"},
		sockets: sockets,
	})
	folder := profile(t)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "user.js"), []byte(firefoxSettings), 0o600))
	run(t, exec.Command(path, "--headless", "--no-remote", "--profile", folder, page))
	return r
}

// firefoxSettings keep Firefox from showing pages of its own, and from the Internet: all that is
// not on loopback goes to a proxy that is not there.
const firefoxSettings = `
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("network.proxy.type", 1);
`

// page returns the URL of a page with clients, and the clients' names with the browser's in front.
func (z zoo) page(browser string, r residents) (page string, named residents) {
	query := url.Values{
		"collector": {z.collector.url}, "browser": {browser},
		"streams": r.streams, "answers": r.answers, "sockets": r.sockets,
	}
	name := func(clients []string) (named []string) {
		for _, client := range clients {
			named = append(named, browser+" "+client)
		}
		return named
	}
	return z.url("/page?" + query.Encode()), residents{name(r.streams), name(r.answers), name(r.sockets)}
}

// profile returns a folder for a browser's profile. It is removed when the browser has ended, which
// may still write into it after its processes are killed.
func profile(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", strings.ReplaceAll(t.Name(), "/", "-"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(folder)) })
	return folder
}
