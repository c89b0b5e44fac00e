package node

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// reconnect is later than either package reconnects by itself, which is after 3 s and 1 s. So a
// client that isn't early has read its retry field.
var reconnect = policy.Window{Min: 3100 * time.Millisecond, Max: 3300 * time.Millisecond}

// A server has an event stream that continues after the client's last event, a body that holds up
// the drain, and a probe.
type server struct {
	*harness.Server
	came    chan string   // the Last-Event-ID of each request for the event stream
	release chan struct{} // closed to end the body
}

func serve(t *testing.T, secure bool, addr string) *server {
	t.Helper()
	s := &server{came: make(chan string, 100), release: make(chan struct{})}
	d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Reconnect: reconnect}}
	inner := http.NewServeMux()
	inner.HandleFunc("GET /events", s.events)
	inner.HandleFunc("GET /body", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "held")
		_ = http.NewResponseController(w).Flush()
		<-s.release
	})
	outer := http.NewServeMux()
	outer.Handle("/", middleware.Graceful(d)(inner))
	outer.Handle("GET /readyz", d.Readiness())
	s.Server = harness.Serve(t, addr, secure, outer, d)
	return s
}

// events sends three events, numbered on from the last one that the client has seen.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	last := r.Header.Get("Last-Event-ID")
	s.came <- last
	n, _ := strconv.Atoi(last)
	w.Header().Set("Content-Type", "text/event-stream")
	for i := n + 1; i <= n+3; i++ {
		fmt.Fprintf(w, "id: %d\ndata: number %d\n\n", i, i)
	}
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// hold starts a body that only end ends.
func (s *server) hold(t *testing.T) (end func()) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	res, err := (&http.Client{Transport: transport}).Get(s.URL("/body"))
	require.NoError(t, err)
	return func() {
		close(s.release)
		body, err := io.ReadAll(res.Body)
		assert.NoError(t, err)
		assert.Equal(t, "held", string(body))
		res.Body.Close()
		transport.CloseIdleConnections()
	}
}

// TestDrain has an EventSource read its farewell, reconnect several times to the server that still
// drains, and then to the next server. That one gets the right Last-Event-ID: neither the farewell
// nor the refusals have changed it.
func TestDrain(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, p := range packages {
			name, version, _ := strings.Cut(p, "@npm:")
			t.Run(version+" over "+scheme, func(t *testing.T) {
				t.Parallel()
				first := serve(t, scheme == "https", "127.0.0.1:0")
				release := first.hold(t)
				c := startClient(t, name, first.URL("/events"), first.URL("/readyz"))
				assert.Equal(t, event{Source: "stream", Type: "open", ReadyState: harness.Open}, timeless(c.next("stream", "open")))
				for i := 1; i <= 3; i++ {
					assert.Equal(t, fmt.Sprintf("number %d", i), c.next("stream", "message").Data)
				}
				assert.Empty(t, <-first.came)

				first.Stop()
				farewell := c.next("stream", "shutdown")
				var data struct{ Retry float64 }
				require.NoError(t, json.Unmarshal([]byte(farewell.Data), &data), farewell.Data)
				assert.GreaterOrEqual(t, data.Retry, milliseconds(reconnect.Min))
				assert.Less(t, data.Retry, milliseconds(reconnect.Max))

				// It waits as long as the farewell says, and then as long as each refusal says.
				wait := data.Retry
				for range 2 {
					lost := c.next("stream", "error", "message")
					assert.Equal(t, event{Source: "stream", Type: "error", ReadyState: harness.Connecting}, timeless(lost))
					back := c.next("stream", "open", "error", "message")
					assert.Equal(t, event{Source: "stream", Type: "open", ReadyState: harness.Open}, timeless(back))
					assert.GreaterOrEqual(t, back.At-lost.At, wait-timerSlack)
					wait = milliseconds(reconnect.Min)
				}
				select {
				case <-first.Done:
					require.Fail(t, "the drain didn't wait for the body")
				default:
				}
				release()
				first.Drain(t)
				report := first.Drainer.Report()
				assert.EqualValues(t, 1, report.Told, "%+v", report)
				assert.EqualValues(t, 1, report.Completed, "%+v", report)
				assert.GreaterOrEqual(t, report.Refused, uint64(2), "%+v", report)
				assert.Empty(t, first.came, "no other request was served")

				// Another server takes its place.
				second := serve(t, scheme == "https", first.Addr)
				for i := 4; i <= 6; i++ {
					assert.Equal(t, fmt.Sprintf("number %d", i), c.next("stream", "message").Data)
				}
				assert.Equal(t, "3", <-second.came, "the last event that it saw")
				second.Drain(t)
				for _, e := range c.seen {
					assert.NotEqual(t, harness.Closed, e.ReadyState, "%+v", e)
				}
			})
		}
	}
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// timerSlack is how many milliseconds too early a timer of Node.js may fire.
const timerSlack = 2

// timeless returns the event without its time.
func timeless(e event) event {
	e.At = 0
	return e
}

// TestUnavailable shows why a refusal is no 503: by the standard, any status but 200 closes an
// EventSource for good. The old package bears a 503, and reconnects at its own pace.
func TestUnavailable(t *testing.T) {
	for _, p := range packages {
		name, version, _ := strings.Cut(p, "@npm:")
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := serve(t, false, "127.0.0.1:0")
			release := s.hold(t)
			c := startClient(t, name, s.URL("/events"), s.URL("/readyz"))
			c.next("stream", "message")
			s.Stop()
			want := map[string]int{"eventsource-4": harness.Closed, "eventsource-2": harness.Connecting}[name]
			assert.Equal(t, event{Source: "probe", Type: "error", ReadyState: want}, timeless(c.next("probe", "error", "open")))
			release()
			s.Drain(t)
		})
	}
}
