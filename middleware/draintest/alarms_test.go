package draintest

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// TestNoFalseAlarm drills what is in order, and looks like a fault.
func TestNoFalseAlarm(t *testing.T) {
	now := "GET /now"
	events := "GET /events"
	for name, c := range map[string]struct {
		start  startFunc
		routes []string
	}{
		"a budget that is over before a connection has waited": {
			func(_ testing.TB, d *middleware.Drainer) http.Handler {
				d.Budget = policy.Budget{Total: 600 * time.Millisecond}
				return inOrder()
			}, []string{now, events, listGRPC},
		},
		"nobody can connect": {
			func(_ testing.TB, d *middleware.Drainer) http.Handler {
				d.CloseListeners = true
				return inOrder()
			}, []string{now, events, listGRPC},
		},
		"new requests are served, for longer than the drill looks": {
			func(_ testing.TB, d *middleware.Drainer) http.Handler {
				d.Policy = policy.Rule{Admit: true}
				mux := http.NewServeMux()
				mux.HandleFunc("GET /now", func(w http.ResponseWriter, r *http.Request) {
					<-newTimer(12 * time.Second)
					fmt.Fprintln(w, "then")
				})
				mux.Handle("/", finite(service{stop: canceled, messages: 60, last: true})(nil, d))
				return mux
			}, []string{now, listGRPC},
		},
		"clients of calls are told to stay away": {
			func(t testing.TB, d *middleware.Drainer) http.Handler {
				h := endless(service{stop: canceled})(t, d)
				d.Policy = policy.TellStayAway()
				return h
			}, []string{watchGRPC, watchWeb, watchConnect},
		},
		"a Close frame without a code": {
			func(_ testing.TB, d *middleware.Drainer) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
					if err != nil {
						return
					}
					defer c.Close()
					ended := make(chan struct{})
					defer close(ended)
					go func() {
						select {
						case <-d.Draining():
							_ = c.WriteControl(websocket.CloseMessage, nil, time.Now().Add(time.Second))
						case <-ended:
						}
					}()
					for err == nil {
						_, _, err = c.ReadMessage()
					}
				})
			}, []string{"GET /ws"},
		},
		"lists that have fewer elements each time": {fewerEachTime(), []string{now, listGRPC, listConnect}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, Check(t, c.start, c.routes...))
		})
	}
}

// A compressed event stream isn't told, and nobody can say where its events end.
func TestCompressedEventsAreNotTold(t *testing.T) {
	found := Check(t, func(testing.TB, *middleware.Drainer) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for {
				_, _ = io.WriteString(z, "data: now\n\n")
				_ = z.Flush()
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-newTimer(t100ms):
				}
			}
		})
	}, "GET /events")
	assert.Len(t, found, 1)
	for _, f := range found {
		assert.Equal(t, "4.1", f.Rule, f)
		assert.Contains(t, f.Text, "since it is compressed")
	}
}

const listConnect = "POST /news.v1.News/List\nContent-Type: application/connect+proto"

// inOrder is a handler with an answer, a stream and a call.
func inOrder() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /now", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "now") })
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: now\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.Handle("/", finite(service{stop: canceled, messages: 1, last: true})(nil, nil))
	return mux
}

// fewerEachTime serves lists of lines and calls.
func fewerEachTime() startFunc {
	var times atomic.Int64
	return func(_ testing.TB, d *middleware.Drainer) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := int(100 - times.Add(1)%95)
			if r.Method == http.MethodPost {
				service{stop: canceled, messages: n, last: true}.call(w, r, d)
				return
			}
			for i := range n {
				fmt.Fprintln(w, n, i)
				_ = http.NewResponseController(w).Flush()
				<-newTimer(t100ms)
			}
		})
	}
}
