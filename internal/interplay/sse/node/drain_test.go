package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// slots is later than either package comes back by itself: 3 s and 1 s. So one that isn't early has heard.
var slots = policy.Window{Min: 3100 * time.Millisecond, Max: 3300 * time.Millisecond}

// A server has an event stream that goes on where its client has been, a body that holds up the drain, and a probe.
type server struct {
	addr    string
	drainer *middleware.Drainer
	came    chan string   // the Last-Event-ID of each that was served
	release chan struct{} // ends the body
	stop    context.CancelFunc
	ended   chan error
}

// serve starts a server. The test has to end it.
func serve(t *testing.T, secure bool, addr string) *server {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	s := &server{
		addr: ln.Addr().String(), came: make(chan string, 100), release: make(chan struct{}), ended: make(chan error, 1),
		drainer: &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Reconnect: slots}},
	}
	inner := http.NewServeMux()
	inner.HandleFunc("GET /events", s.events)
	inner.HandleFunc("GET /body", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "held")
		_ = http.NewResponseController(w).Flush()
		<-s.release
	})
	outer := http.NewServeMux()
	outer.Handle("/", middleware.Graceful(s.drainer)(inner))
	outer.Handle("GET /readyz", s.drainer.Readiness())
	srv := &http.Server{Handler: outer, ErrorLog: log.New(io.Discard, "", 0)}
	begin := func() error { return srv.Serve(ln) }
	if secure {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
		begin = func() error { return srv.ServeTLS(ln, "", "") }
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.ended <- s.drainer.Run(ctx, srv, begin) }()
	return s
}

// events sends three, numbered on from the last that the client has seen.
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

// hold begins a body that only release ends.
func (s *server) hold(t *testing.T, scheme string) (end func()) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	res, err := (&http.Client{Transport: transport}).Get(scheme + "://" + s.addr + "/body")
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

// certificate is the one that net/http/httptest brings along.
var certificate = sync.OnceValue(func() tls.Certificate {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates[0]
})

// TestDrain has an EventSource hear its farewell, come back again and again to a server that still drains, and then to the
// next one, which it tells where it has been: our farewell and our refusals have left that alone.
func TestDrain(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, p := range packages {
			name, version, _ := strings.Cut(p, "@npm:")
			t.Run(version+" over "+scheme, func(t *testing.T) {
				t.Parallel()
				old := serve(t, scheme == "https", "127.0.0.1:0")
				release := old.hold(t, scheme)
				url := scheme + "://" + old.addr
				c := start(t, name, url+"/events", url+"/readyz")
				assert.Equal(t, line{Source: "stream", Type: "open", ReadyState: opened}, without(c.next("stream", "open")))
				for i := 1; i <= 3; i++ {
					assert.Equal(t, fmt.Sprintf("number %d", i), c.next("stream", "message").Data)
				}
				assert.Empty(t, <-old.came)

				old.stop()
				bye := c.next("stream", "shutdown")
				var told struct{ Retry float64 }
				require.NoError(t, json.Unmarshal([]byte(bye.Data), &told), bye.Data)
				assert.GreaterOrEqual(t, told.Retry, ms(slots.Min))
				assert.Less(t, told.Retry, ms(slots.Max))

				// It waits for the slot that is its own, and after each refusal for another.
				wait := told.Retry
				for range 2 {
					gone := c.next("stream", "error", "message")
					assert.Equal(t, line{Source: "stream", Type: "error", ReadyState: connecting}, without(gone))
					back := c.next("stream", "open", "error", "message")
					assert.Equal(t, line{Source: "stream", Type: "open", ReadyState: opened}, without(back))
					assert.GreaterOrEqual(t, back.At-gone.At, wait-timerSlack)
					wait = ms(slots.Min)
				}
				select {
				case err := <-old.ended:
					require.Fail(t, "the drain didn't wait for the body", "%v", err)
				default:
				}
				release()
				require.NoError(t, <-old.ended)
				report := old.drainer.Report()
				assert.EqualValues(t, 1, report.Told, "%+v", report)
				assert.EqualValues(t, 1, report.Completed, "%+v", report)
				assert.GreaterOrEqual(t, report.Refused, uint64(2), "%+v", report)
				assert.Empty(t, old.came, "nobody else was served")

				// Another server takes its place.
				young := serve(t, scheme == "https", old.addr)
				for i := 4; i <= 6; i++ {
					assert.Equal(t, fmt.Sprintf("number %d", i), c.next("stream", "message").Data)
				}
				assert.Equal(t, "3", <-young.came, "the last event that it saw")
				young.stop()
				require.NoError(t, <-young.ended)
				for _, l := range c.seen {
					assert.NotEqual(t, closed, l.ReadyState, "%+v", l)
				}
			})
		}
	}
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// timerSlack is by how much Node's timers may fire early, in ms.
const timerSlack = 2

func without(l line) line {
	l.At = 0
	return l
}

// TestUnavailableEndsIt is what the refusals spare a client: any other status is the end for a source by the book. The old
// package bears a 503, and comes back at a pace of its own.
func TestUnavailableEndsIt(t *testing.T) {
	for _, p := range packages {
		name, version, _ := strings.Cut(p, "@npm:")
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := serve(t, false, "127.0.0.1:0")
			release := s.hold(t, "http")
			url := "http://" + s.addr
			c := start(t, name, url+"/events", url+"/readyz")
			c.next("stream", "message")
			s.stop()
			want := map[string]int{"eventsource-4": closed, "eventsource-2": connecting}[name]
			assert.Equal(t, line{Source: "probe", Type: "error", ReadyState: want}, without(c.next("probe", "error", "open")))
			release()
			require.NoError(t, <-s.ended)
		})
	}
}
