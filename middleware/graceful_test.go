package middleware_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// What is wrong is said where it is written down, not in the drain.
func TestGracefulRejects(t *testing.T) {
	for _, c := range []struct {
		name string
		d    *middleware.Drainer
		rule policy.Rule
		want string
	}{
		{"a nil Drainer", nil, policy.Rule{}, "nil *Drainer"},
		{"a negative duration", &middleware.Drainer{}, policy.Rule{Timeout: -time.Second}, "-1s"},
		{"a rule over the budget", &middleware.Drainer{}, policy.Rule{Grace: time.Minute}, `policy: the rule given to Graceful needs 1m0s (grace 1m0s) but the budget leaves 23s of 25s`},
		{"a policy over the budget", &middleware.Drainer{Policy: policy.Rule{Spread: time.Minute}}, policy.Rule{}, `spread 1m0s`},
		{"a rule that is over the budget with the policy's", &middleware.Drainer{Policy: policy.Rule{Grace: 15 * time.Second}}, policy.Rule{Spread: 15 * time.Second}, `grace 15s + spread 15s`},
		{"a close code that may not be sent", &middleware.Drainer{}, policy.Rule{Farewell: policy.Farewell{Code: 1006}}, "1006"},
		{"a reason that is too long", &middleware.Drainer{}, policy.Rule{Farewell: policy.Farewell{Reason: strings.Repeat("x", 124)}}, "124 bytes, 123 is the most"},
		{"a reason that is not UTF-8", &middleware.Drainer{}, policy.Rule{Farewell: policy.Farewell{Reason: "\xff"}}, "UTF-8"},
		{"a newline in an event's name", &middleware.Drainer{}, policy.Rule{Farewell: policy.Farewell{Event: "a\nb"}}, `"a\nb"`},
		{"a negative budget", &middleware.Drainer{Budget: policy.Budget{Total: -1}}, policy.Rule{}, "Budget.Total"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				switch v := recover().(type) {
				case error:
					assert.ErrorContains(t, v, c.want)
				case string:
					assert.Contains(t, v, c.want)
				default:
					t.Errorf("no panic that names what is wrong: %v", v)
				}
			}()
			middleware.Graceful(c.d, c.rule)
		})
	}
	assert.PanicsWithValue(t, "middleware: Graceful was given a nil http.Handler to wrap", func() {
		middleware.Graceful(&middleware.Drainer{})(nil)
	})
}

// Nested, a response is tracked once, and the innermost rule stands, field by
// field.
func TestNestedGraceful(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Grace: 1 * time.Second, Spread: 1 * time.Second, Timeout: 1 * time.Second, Mercy: 1 * time.Second}}
	outer := middleware.Graceful(d, policy.Rule{Spread: 2 * time.Second, Timeout: 2 * time.Second, Mercy: 2 * time.Second})
	inner := middleware.Graceful(d, policy.Rule{Timeout: 3 * time.Second}, policy.Rule{Timeout: 4 * time.Second, Mercy: 3 * time.Second})
	var rule policy.Rule
	var open int
	h := outer(inner(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rule = stream.From(r.Context()).Rule()
		open = d.Report().Open.All()
	})))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, policy.Rule{Grace: 1 * time.Second, Spread: 2 * time.Second, Timeout: 3 * time.Second, Mercy: 3 * time.Second}, rule)
	assert.Equal(t, 1, open)
	assert.EqualValues(t, 1, d.Report().Before.All())
}

// Two Drainers, one around the other, both track.
func TestTwoDrainers(t *testing.T) {
	a, b := &middleware.Drainer{}, &middleware.Drainer{}
	h := middleware.Graceful(a)(middleware.Graceful(b)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		assert.Equal(t, 1, a.Report().Open.All())
		assert.Equal(t, 1, b.Report().Open.All())
	})))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

// Writers that have some of the optional interfaces.
type (
	bare     struct{ http.ResponseWriter }
	flushing struct{ flushed error }
	taking   struct{}
	noting   struct{}
	reading  struct{}
	pushing  struct{}
)

func (f flushing) Flush()                                        {}
func (f flushing) FlushError() error                             { return f.flushed }
func (taking) Hijack() (net.Conn, *bufio.ReadWriter, error)      { return nil, nil, errHijack }
func (noting) CloseNotify() <-chan bool                          { return nil }
func (reading) ReadFrom(r io.Reader) (int64, error)              { return io.Copy(io.Discard, r) }
func (pushing) Push(target string, opts *http.PushOptions) error { return errPush }

var (
	errFlush  = errors.New("the peer is gone")
	errHijack = errors.New("hijacked by somebody else")
	errPush   = errors.New("no push today")
)

// The writer that a handler gets has exactly the optional interfaces of the one
// inside, in all 32 combinations that come to one place, and passes their errors on.
func TestWriterKeepsInterfaces(t *testing.T) {
	rw := httptest.NewRecorder()
	var check http.HandlerFunc
	h := middleware.Graceful(&middleware.Drainer{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { check(w, r) }))
	for name, w := range writers(bare{rw}) {
		t.Run(name, func(t *testing.T) {
			check = func(got http.ResponseWriter, r *http.Request) {
				assert.Equal(t, interfaces(w), interfaces(got))
				assert.Implements(t, (*io.StringWriter)(nil), got)
				assert.Equal(t, w, unwrap(unwrap(got)), "behind what keeps track")
				if f, ok := got.(interface{ FlushError() error }); ok {
					assert.ErrorIs(t, f.FlushError(), errFlush)
				}
				if p, ok := got.(http.Pusher); ok {
					assert.ErrorIs(t, p.Push("/", nil), errPush)
				}
				if hj, ok := got.(http.Hijacker); ok {
					_, _, err := hj.Hijack()
					assert.ErrorIs(t, err, errHijack)
				}
			}
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		})
	}
}

func unwrap(w http.ResponseWriter) http.ResponseWriter {
	return w.(interface{ Unwrap() http.ResponseWriter }).Unwrap()
}

func interfaces(w http.ResponseWriter) (has [6]bool) {
	_, has[0] = w.(http.Flusher)
	_, has[1] = w.(interface{ FlushError() error })
	_, has[2] = w.(http.Hijacker)
	//lint:ignore SA1019 handlers still ask for it
	_, has[3] = w.(http.CloseNotifier)
	_, has[4] = w.(io.ReaderFrom)
	_, has[5] = w.(http.Pusher)
	return has
}

// A handler that keeps the writer after it has returned can't hurt anybody.
func TestWriterAfterTheHandlerReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept http.ResponseWriter
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			kept = w
			_, _ = io.WriteString(w, "done")
		}))
		assert.Equal(t, "done", (<-r.later("/")).body)
		_, err := kept.Write([]byte("late"))
		assert.ErrorContains(t, err, "after the handler returned")
		_, err = io.WriteString(kept, "late")
		assert.Error(t, err)
		kept.(http.Flusher).Flush()
		kept.WriteHeader(http.StatusTeapot)
		assert.Equal(t, "done", (<-r.later("/")).body)
		r.ended(0)
	})
}

// What the handler learned of its copy of the request, the caller gets.
func TestRequestIsHandedBack(t *testing.T) {
	d := &middleware.Drainer{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /form/{id}", func(_ http.ResponseWriter, r *http.Request) { _ = r.ParseForm() })
	r := httptest.NewRequest(http.MethodPost, "/form/1?a=b", nil)
	middleware.Graceful(d)(mux).ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, "POST /form/{id}", r.Pattern)
	assert.Equal(t, "b", r.Form.Get("a"))
}

func TestInformationalAndBodilessResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kinds := make(chan policy.Kind, 1)
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusEarlyHints)
			assert.Equal(t, policy.Auto, stream.From(r.Context()).Kind(), "103 settles nothing")
			w.WriteHeader(http.StatusNoContent)
			kinds <- stream.From(r.Context()).Kind()
		}))
		a := <-r.later("/")
		assert.Equal(t, http.StatusNoContent, a.StatusCode)
		assert.Equal(t, policy.Finite, <-kinds, "a 204 ends with its header, whatever its type")
		r.ended(0)
	})
}

// What net/http may still hold back hasn't moved.
func TestIdleSinceTheLastByteThatMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.Graceful(&middleware.Drainer{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			response := stream.From(r.Context())
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "short")
			assert.Equal(t, time.Second, response.Idle(), "since it began")
			w.(http.Flusher).Flush()
			assert.Zero(t, response.Idle(), "flushed")
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "short")
			assert.Equal(t, time.Second, response.Idle(), "since the flush")
			_, _ = w.Write(make([]byte, 4<<10))
			assert.Zero(t, response.Idle(), "too much to be held back")
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	})
}
