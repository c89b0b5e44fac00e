package interplay

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// extended is what lets net/http take a WebSocket over HTTP/2 (RFC 8441). Both it and x/net read it once, as the process
// starts.
const extended = "http2xconnect=1"

// TestOverHTTP2 shows what becomes of a WebSocket over HTTP/2, in a process that allows it. Its frames go through the
// ResponseWriter, so no Conn sees them: it is an HTTP response.
func TestOverHTTP2(t *testing.T) {
	if !strings.Contains(os.Getenv("GODEBUG"), extended) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOverHTTP2$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG="+extended)
		said, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%s", said)
		assert.Contains(t, string(said), "--- PASS: TestOverHTTP2/")
		return
	}
	for name, test := range map[string]struct {
		rule  policy.Rule
		tag   policy.Kind
		told  bool // the handler, in its own time
		ended func(middleware.Report) uint64
		found stream.Tally
	}{
		"left alone it is finite, and broken off when its grace is over": {
			rule:  policy.Rule{Grace: 100 * time.Millisecond},
			ended: func(r middleware.Report) uint64 { return r.Cut },
			found: stream.Tally{Finite: 1},
		},
		"its handler can say goodbye by itself": {
			tag: policy.Infinite, told: true,
			ended: func(r middleware.Report) uint64 { return r.Completed },
			found: stream.Tally{Other: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &middleware.Drainer{Policy: test.rule}
			proto := make(chan string, 1)
			s := httptest.NewUnstartedServer(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.tag != policy.Auto {
					stream.Tag(r.Context(), test.tag)
				}
				proto <- r.Method + " " + r.Proto + " " + r.Header.Get(":protocol")
				control := http.NewResponseController(w)
				_, _, err := control.Hijack()
				assert.ErrorIs(t, err, http.ErrNotSupported)
				w.WriteHeader(http.StatusOK) // RFC 8441, section 5: no 101
				_, _ = io.WriteString(w, "\x81\x05hello")
				_ = control.Flush()
				if test.told {
					<-stream.Draining(r.Context())
					_, _ = io.WriteString(w, "\x88\x02\x03\xf4")
					return
				}
				<-r.Context().Done()
			})))
			s.EnableHTTP2 = true
			s.StartTLS()
			defer s.Close()

			body, words := io.Pipe()
			defer words.Close()
			r, err := http.NewRequest(http.MethodConnect, s.URL, body)
			require.NoError(t, err)
			r.Header.Set(":protocol", "websocket")
			r.Header.Set("Sec-WebSocket-Version", "13")
			client := &http2.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			defer client.CloseIdleConnections()
			res, err := client.RoundTrip(r)
			require.NoError(t, err)
			defer res.Body.Close()
			assert.Equal(t, "CONNECT HTTP/2.0 websocket", <-proto)
			f, err := readFrame(res.Body)
			require.NoError(t, err)
			assert.Equal(t, "hello", string(f.payload))

			d.Start()
			rest, err := io.ReadAll(res.Body)
			if test.told {
				assert.NoError(t, err)
				assert.Equal(t, "\x88\x02\x03\xf4", string(rest))
			} else {
				assert.Error(t, err, "reset: nobody takes it for a clean end")
				assert.Empty(t, rest, "nothing is ever written into it")
			}
			report := drained(t, d)
			assert.Equal(t, test.found, report.Found)
			assert.EqualValues(t, 1, test.ended(report), "%+v", report)
		})
	}
}
