package ws_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/ws"
)

func TestRequested(t *testing.T) {
	for _, test := range []struct {
		name   string
		method string
		header http.Header
		want   bool
	}{
		{"plain request", "GET", nil, false},
		{"upgrade", "GET", http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}, true},
		{"upgrade in another case, one of two", "GET", http.Header{"Upgrade": {"h2c, WebSocket"}}, true},
		{"upgrade to something else", "GET", http.Header{"Upgrade": {"h2c"}}, false},
		{"extended CONNECT", "CONNECT", http.Header{":protocol": {"websocket"}}, true},
		{"extended CONNECT for something else", "CONNECT", http.Header{":protocol": {"connect-udp"}}, false},
		{"CONNECT", "CONNECT", nil, false},
		{":protocol without CONNECT", "GET", http.Header{":protocol": {"websocket"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, ws.Requested(&http.Request{Method: test.method, Header: test.header}))
		})
	}
}

func TestRetry(t *testing.T) {
	for reason, want := range map[string]time.Duration{ // less than zero: none
		"service restart; retry=1234":       1234 * time.Millisecond,
		"service restart;retry=1234":        1234 * time.Millisecond,
		"retry=0":                           0,
		"retry=7; see you":                  7 * time.Millisecond,
		"moving, retry=7,bye":               7 * time.Millisecond,
		"retry=1; retry=2":                  time.Millisecond,
		"retry=2147483647":                  2147483647 * time.Millisecond,
		"":                                  -1,
		"service restart":                   -1,
		"retry":                             -1,
		"retry=":                            -1,
		"retry= 5":                          -1,
		"retry=2147483648":                  -1,
		"retry=18446744073709551616":        -1,
		"retry=" + strings.Repeat("9", 117): -1,
		"retry=-5":                          -1,
		"retry=+5":                          -1,
		"retry=5s":                          -1,
		"retry=1.5":                         -1,
		"retry=0x10":                        -1,
		"retry=1_000":                       -1,
		"retry=five; retry=5":               -1,
		"Retry=5":                           -1,
		"noretry=5":                         -1,
		"retry=\u0661":                      -1, // a digit, but not of these
		"retry={retry}":                     -1,
		"closed; do not reconnect":          -1,
		"\xff; retry=5":                     5 * time.Millisecond,
	} {
		got, ok := ws.Retry(reason)
		assert.Equal(t, want >= 0, ok, "%q", reason)
		if ok {
			assert.Equal(t, want, got, "%q", reason)
		}
	}
}

// FuzzRetry: any reason gives a delay that a client can wait for, and the one that a server writes
// comes back.
func FuzzRetry(f *testing.F) {
	f.Add("service restart; retry=1234", int64(1234))
	f.Add("retry=99999999999999999999", int64(0))
	f.Fuzz(func(t *testing.T, reason string, ms int64) {
		if got, ok := ws.Retry(reason); ok {
			assert.True(t, 0 <= got && got <= 2147483647*time.Millisecond, "%v", got)
		}
		retry := time.Duration(uint32(ms)>>1) * time.Millisecond
		got, ok := ws.Retry(policy.Farewell{}.Expand(retry).Reason)
		assert.True(t, ok)
		assert.Equal(t, retry, got)
	})
}
