package middleware_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

const (
	grpcType    = "application/grpc+proto"
	grpcWebType = "application/grpc-web+proto"
	connectType = "application/connect+proto"

	message = "\x00\x00\x00\x00\x03abc"
)

// call sends a call, and returns what came of it. The status is what the trailers say of it, or the
// header, or the body behind the messages.
func (r *rig) call(contentType string) <-chan callResult {
	c := make(chan callResult, 1)
	go func() {
		req, err := http.NewRequest(http.MethodPost, "http://memory/service/Method", strings.NewReader(message))
		if err != nil {
			c <- callResult{err: err}
			return
		}
		req.Header.Set("Content-Type", contentType)
		res, err := r.client.Do(req)
		if err != nil {
			c <- callResult{err: err}
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		rest := strings.TrimLeft(strings.ReplaceAll(string(body), message, ""), "\x00")
		n := strings.Count(string(body), message)
		status := rest
		for _, h := range []http.Header{res.Header, res.Trailer} {
			for _, name := range []string{"Grpc-Status", "Grpc-Message", "Grpc-Retry-Pushback-Ms", "Grpc-Status-Details-Bin"} {
				for _, value := range h[name] {
					status += strings.ToLower(name) + ": " + value + "\r\n"
				}
			}
		}
		c <- callResult{res.Header, n, status, err}
	}()
	return c
}

type callResult struct {
	header   http.Header
	messages int
	status   string
	err      error
}

// What says in each protocol that the server isn't available.
var unavailable = map[string]string{
	grpcType:    "grpc-status: 14\r\ngrpc-message: WHY\r\ngrpc-retry-pushback-ms: 2000\r\n",
	grpcWebType: "\x80\x00\x00\x00LENgrpc-status: 14\r\ngrpc-message: WHY\r\ngrpc-retry-pushback-ms: 2000\r\n",
	connectType: "\x02\x00\x00\x00LEN" + `{"error":{"code":"unavailable","message":"WHY"},"metadata":{"grpc-retry-pushback-ms":["2000"]}}`,
}

func unavailableAs(contentType, why string) string {
	prefix, text, inBody := strings.Cut(strings.ReplaceAll(unavailable[contentType], "WHY", why), "LEN")
	if !inBody {
		return prefix
	}
	return prefix + string([]byte{byte(len(text))}) + text
}

var inTwoSeconds = policy.Window{Min: 2 * time.Second, Max: 2 * time.Second}

// answers begins an answer in the protocol of the call: a message, or so many bytes of two.
func answers(w http.ResponseWriter, r *http.Request, n int) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = io.WriteString(w, (message + message)[:n])
	w.(http.Flusher).Flush()
}

// endsWell ends it with a status that says that all is well.
func endsWell(w http.ResponseWriter, r *http.Request) {
	switch r.Header.Get("Content-Type") {
	case grpcType:
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status-Details-Bin", "AA")
	case grpcWebType:
		_, _ = io.WriteString(w, "\x80\x00\x00\x00\x10grpc-status: 0\r\n")
	case connectType:
		_, _ = io.WriteString(w, "\x02\x00\x00\x00\x02{}")
	}
}

// A stream of calls is told by the end of its protocol, and what its handler says behind that is
// swallowed: messages and its own status. The end is a clean one, whatever the rule says.
func TestToldCall(t *testing.T) {
	for contentType := range unavailable {
		synctest.Test(t, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, Reconnect: inTwoSeconds, Ending: policy.BrokenEnding}}
			r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answers(w, r, len(message)+2)
				time.Sleep(1200 * time.Millisecond)
				_, _ = io.WriteString(w, message[2:]+message)
				<-r.Context().Done()
				endsWell(w, r)
			}))
			end := r.call(contentType)
			time.Sleep(time.Second)
			r.drain()
			got := <-end
			require.NoError(t, got.err)
			assert.Equal(t, 2, got.messages)
			assert.Equal(t, unavailableAs(contentType, "service restart; retry=2000"), got.status)
			report := r.endsAfter(250 * time.Millisecond)
			assert.EqualValues(t, 1, report.Told)
			assert.EqualValues(t, 0, report.Broken)
		})
	}
}

// One whose handler hasn't answered at all is told by a whole answer, which is a stream's own.
func TestToldCallBeforeItsHeader(t *testing.T) {
	for contentType := range unavailable {
		synctest.Test(t, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, Reconnect: inTwoSeconds}}
			var wrote error
			r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
				time.Sleep(100 * time.Millisecond)
				answers(w, r, len(message))
				<-r.Context().Done()
				_, wrote = io.WriteString(w, message)
				w.WriteHeader(http.StatusInternalServerError)
			}))
			end := r.call(contentType)
			r.drain()
			got := <-end
			require.NoError(t, got.err)
			assert.Zero(t, got.messages)
			how := contentType
			if how == grpcWebType {
				how = grpcType // without a message gRPC-Web has its status in the header, too
			}
			assert.Equal(t, unavailableAs(how, "service restart; retry=2000"), got.status)
			assert.Equal(t, contentType, got.header.Get("Content-Type"))
			assert.Error(t, wrote, "as behind any cancel")
			report := r.endsAfter(250 * time.Millisecond)
			assert.EqualValues(t, 1, report.Told)
		})
	}
}

// How a finite call ends that the drain has canceled.
func TestCanceledCall(t *testing.T) {
	const why = "the server is shutting down; please retry"
	for _, test := range []struct {
		name  string
		write int
		ends  func(http.ResponseWriter, *http.Request)
		own   bool // its handler's status arrives
		whole bool
	}{
		{"its own end", len(message), endsWell, true, true},
		{"no end", len(message), func(http.ResponseWriter, *http.Request) {}, false, true},
		{"a proxy's", len(message), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, true},
		{"torn", len(message) + 6, func(http.ResponseWriter, *http.Request) {}, false, false},
		{"torn with an end", len(message) + 6, endsWell, false, false},
	} {
		for contentType := range unavailable {
			t.Run(test.name+" "+contentType, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Reconnect: inTwoSeconds}}
					r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						answers(w, r, test.write)
						<-r.Context().Done()
						test.ends(w, r)
					}))
					end := r.call(contentType)
					r.drain()
					got := <-end
					report := r.endsAfter(time.Second)
					if !test.whole {
						assert.ErrorIs(t, got.err, io.ErrUnexpectedEOF)
						assert.EqualValues(t, 1, report.Cut)
						return
					}
					require.NoError(t, got.err)
					assert.Equal(t, 1, got.messages)
					assert.EqualValues(t, 1, report.Canceled)
					if test.own {
						assert.NotContains(t, got.status, "unavailable")
						assert.NotContains(t, got.status, "14")
						assert.NotEmpty(t, got.status)
					} else {
						assert.Equal(t, unavailableAs(contentType, why), got.status)
					}
				})
			})
		}
	}
}

// One whose handler has sent nothing but a header ends as well, over HTTP/1.1 too, where net/http
// has no trailers for a short body whose header doesn't announce them.
func TestCanceledCallOfAHeaderAlone(t *testing.T) {
	for contentType := range unavailable {
		for _, trailer := range []string{"", "Grpc-Status, Grpc-Message"} {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Reconnect: inTwoSeconds}}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", contentType)
					if trailer != "" {
						w.Header().Set("Trailer", trailer)
					}
					w.WriteHeader(http.StatusOK)
					<-r.Context().Done()
				}))
				end := r.call(contentType)
				r.drain()
				got := <-end
				require.NoError(t, got.err)
				assert.Equal(t, unavailableAs(contentType, "the server is shutting down; please retry"), got.status)
				assert.EqualValues(t, 1, r.endsAfter(time.Second).Canceled)
			})
		}
	}
}

// A handler that panics takes with it what was to be said when it has returned, and the report says
// so. net/http breaks its connection off.
func TestToldCallPanics(t *testing.T) {
	for contentType, told := range map[string]middleware.Outcomes{
		grpcType:    {Cut: 1},
		grpcWebType: {Told: 1, Broken: 1},
		connectType: {Told: 1, Broken: 1},
	} {
		for _, n := range []int{0, len(message)} {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite}}
				r := serveWrapped(t, d, recovers(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if n > 0 {
						answers(w, r, n)
					}
					<-r.Context().Done()
					panic("on purpose")
				}))))
				end := r.call(contentType)
				r.drain()
				got := <-end
				require.Error(t, got.err)
				want := told
				if n == 0 {
					want = middleware.Outcomes{Cut: 1}
				}
				_, err := r.end()
				require.NoError(t, err)
				assert.Equal(t, want, d.Report().Outcomes, "%s %d", contentType, n)
			})
		}
	}
}

// recovers is an outer handler that keeps the test's output free of what net/http logs of a panic.
func recovers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// A call whose handler has ended it gets no farewell.
func TestEndedCallIsNotTold(t *testing.T) {
	for _, contentType := range []string{grpcWebType, connectType} {
		synctest.Test(t, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite}}
			r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answers(w, r, len(message))
				endsWell(w, r)
				w.(http.Flusher).Flush()
				time.Sleep(100 * time.Millisecond)
			}))
			end := r.call(contentType)
			r.drain()
			got := <-end
			require.NoError(t, got.err)
			assert.NotContains(t, got.status, "unavailable")
			report := r.endsAfter(100 * time.Millisecond)
			assert.EqualValues(t, 0, report.Told)
			assert.EqualValues(t, 1, report.Completed)
		})
	}
}

func TestLateCallIsRefusedInItsProtocol(t *testing.T) {
	const why = "the server is shutting down; please retry"
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Reconnect: inTwoSeconds}}
		r := serve(t, d, busy())
		going := r.getAsync("/busy")
		r.drain()
		for _, contentType := range []string{grpcType, connectType} {
			got := <-r.call(contentType)
			require.NoError(t, got.err)
			assert.Equal(t, unavailableAs(contentType, why), got.status)
			assert.Equal(t, contentType, got.header.Get("Content-Type"))
		}
		got := <-r.call(grpcWebType)
		require.NoError(t, got.err)
		assert.Equal(t, unavailableAs(grpcType, why), got.status, "in the header")
		report := r.endsAfter(10 * time.Second)
		assert.EqualValues(t, 3, report.Refused)
		<-going
	})
}

func TestRefusalComesBeforeTheProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Refusal: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Grpc-Status", "8")
		})}
		r := serve(t, d, busy())
		going := r.getAsync("/busy")
		r.drain()
		got := <-r.call(grpcType)
		assert.Equal(t, "grpc-status: 8\r\n", got.status)
		r.endsAfter(10 * time.Second)
		<-going
	})
}

// A canceled call whose handler sets a status and writes nothing: its header is the whole answer.
func TestCanceledCallWithAStatusOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.Header().Set("Content-Type", grpcType)
			w.Header().Set("Grpc-Status", "5")
		}))
		end := r.call(grpcType)
		r.drain()
		got := <-end
		require.NoError(t, got.err)
		assert.Equal(t, "grpc-status: 5\r\n", got.status)
		assert.EqualValues(t, 1, r.endsAfter(time.Second).Canceled)
	})
}

// A unary call of Connect by GET is refused as a call, whatever its client accepts.
func TestLateGetOfConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, busy())
		going := r.getAsync("/busy")
		r.drain()
		res := r.get("/service/Method?connect=v1&encoding=json&message=%7B%7D", asEventSource...)
		defer res.Body.Close()
		assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
		assert.Equal(t, "application/json", res.Header.Get("Content-Type"))
		r.endsAfter(10 * time.Second)
		<-going
	})
}
