package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// unwrapping is how other middleware's writers are made today: Unwrap, and
// nothing else.
type unwrapping struct{ bare }

func (u unwrapping) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// opaque is how they were made before: the methods that somebody thought of, and
// no Unwrap.
type opaque struct{ bare }

func (o opaque) Flush() { _ = http.NewResponseController(o.ResponseWriter).Flush() }
func (o opaque) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(o.ResponseWriter).Hijack()
}

func asUnwrapping(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(unwrapping{bare{w}}, r) })
}

func asOpaque(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(opaque{bare{w}}, r) })
}

// recovering swallows every panic, http.ErrAbortHandler too.
func recovering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		h.ServeHTTP(w, r)
	})
}

// withoutRun serves h by hand: nobody has shown the Drainer its connections.
// What it gives has no drain of its own; its end closes the server.
func withoutRun(t *testing.T, h http.Handler) *rig {
	r := &rig{t: t, net: memnet.New(), ran: make(chan error, 1), began: time.Now()}
	r.client = &http.Client{Transport: &http.Transport{DialContext: r.net.Dial}}
	srv := &http.Server{Handler: h}
	r.stop = func() { _ = srv.Close() }
	go func() { r.ran <- srv.Serve(r.net) }()
	return r
}

// A copy that fails before its first byte has committed nothing, so that the
// handler can still say what went wrong, as it could without us.
func TestCopyThatFailsAtOnceCommitsNothing(t *testing.T) {
	for name, source := range map[string]func() io.Reader{
		"some reader": func() io.Reader { return iotest.ErrReader(errors.New("no upstream")) },
		"a file, which the kernel would copy": func() io.Reader {
			f, err := os.Open(os.DevNull)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			return io.LimitReader(f, 1<<20)
		},
	} {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if n, err := io.Copy(w, source()); n == 0 && err != nil {
				http.Error(w, "upstream failed", http.StatusBadGateway)
			}
		})
		for under, h := range map[string]http.Handler{"bare": h, "under us": middleware.Graceful(&middleware.Drainer{})(h)} {
			t.Run(name+", "+under, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := withoutRun(t, h)
					a := <-r.later("/")
					require.NoError(t, a.err)
					assert.Equal(t, http.StatusBadGateway, a.StatusCode)
					_, _ = r.end()
				})
			})
		}
	}
}

// A copy whose source is slow doesn't keep others from the writer: ReverseProxy
// flushes from a timer while it copies.
func TestCopyFromASlowSourceHoldsUpNoFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := strings.Repeat("x", 600) // more than net/http looks at by itself
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			src, feed := io.Pipe()
			go func() {
				defer feed.Close()
				for range 3 {
					_, _ = io.WriteString(feed, part)
					time.Sleep(time.Second)
					w.(http.Flusher).Flush()
				}
			}()
			_, _ = io.Copy(w, src)
		}))
		a := <-r.later("/")
		assert.NoError(t, a.err)
		assert.Equal(t, part+part+part, a.body)
		r.ended(3 * time.Second)
	})
}

// A rule says stream before the header does. The farewell, which had nowhere to
// stand when it was asked for, comes after the header, though no event follows.
func TestFarewellThatCameBeforeTheHeader(t *testing.T) {
	for _, kind := range []policy.Kind{policy.Auto, policy.Infinite} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Kind: kind}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(500 * time.Millisecond) // looks up who is asking
					w.Header().Set("Content-Type", "text/event-stream")
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}))
				got := r.later("/")
				r.drain()
				_, err := r.end()
				assert.NoError(t, err)
				a := <-got
				assert.NoError(t, a.err)
				assert.Regexp(t, `^retry: \d+\nevent: shutdown\ndata: .*\n\n$`, a.body)
				assert.EqualValues(t, 1, r.d.Report().Told)
			})
		})
	}
}

// Close doesn't wait for a farewell that its peer holds up, though no handler is
// left that it could free.
func TestCloseFreesAStuckFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quit := make(chan struct{})
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 10 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-quit
		}))
		c := r.stuck("/")
		defer c.Close()
		_, err := http.ReadResponse(bufio.NewReader(c), nil) // the header, and not a byte more
		require.NoError(t, err)
		r.drain()
		time.Sleep(time.Second) // the farewell is on its way
		close(quit)
		synctest.Wait()
		assert.NoError(t, r.d.Close())
		assert.Equal(t, time.Second, r.since())
		_, err = r.end()
		assert.NoError(t, err)
		assert.EqualValues(t, 1, r.d.Report().Cut)
	})
}

// Middleware around the handler hides Flush and leaves it to be found by
// unwrapping. That way leads past us no more than any other, and the farewell
// goes it too, rather than wait in a buffer.
func TestFlushThatIsFoundByUnwrapping(t *testing.T) {
	flushes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		assert.NoError(t, http.NewResponseController(w).Flush())
		<-r.Context().Done()
	})
	for name, wrap := range map[string]func(*middleware.Drainer) http.Handler{
		"outside of us": func(d *middleware.Drainer) http.Handler { return asUnwrapping(middleware.Graceful(d)(flushes)) },
		"inside of us":  func(d *middleware.Drainer) http.Handler { return middleware.Graceful(d)(asUnwrapping(flushes)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{} // it makes its channels in this bubble
				r := serveAll(t, d, wrap(d))
				var ended error
				got := lines(r.get("/").Body, &ended)
				r.drain()
				assert.Regexp(t, `^retry: \d+$`, <-got)
				assert.Zero(t, r.since(), "at once, and not when the handler returns")
				for range got {
				}
				assert.NoError(t, ended)
				report := r.ended(3 * time.Second)
				assert.Equal(t, stream.Tally{SSE: 1}, report.Found)
				assert.EqualValues(t, 1, report.Told)
			})
		})
	}
}

// What was cut never looks whole, whoever stands around us: not by the end of a
// chunked body, nor, over HTTP/1.0, where the end of the connection is the end of
// the body, by an orderly close.
func TestCutBodyNeverLooksWhole(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.0", "HTTP/1.1", "HTTP/1.1 without ConnContext", "HTTP/2"} {
		for around, wrap := range map[string]func(http.Handler) http.Handler{
			"nobody": func(h http.Handler) http.Handler { return h }, "a writer without Unwrap": asOpaque, "one who recovers": recovering,
		} {
			for handler, rule := range map[string]policy.Rule{
				"returns when cancelled": {Grace: policy.AtOnce},
				"goes on until cut":      {Grace: policy.AtOnce, Mercy: policy.AtOnce},
			} {
				t.Run(fmt.Sprint(protocol, ", around us ", around, ", inside one who ", handler), func(t *testing.T) {
					var log bytes.Buffer
					d := &middleware.Drainer{Policy: rule, Logger: slog.New(slog.NewTextHandler(&log, nil))}
					ts := httptest.NewUnstartedServer(wrap(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						_, err := io.WriteString(w, "first half")
						w.(http.Flusher).Flush()
						<-r.Context().Done()
						for err == nil && handler == "goes on until cut" {
							_, err = io.WriteString(w, "and more")
						}
					}))))
					blind := strings.HasSuffix(protocol, "without ConnContext")
					if !blind {
						ts.Config.ConnContext = d.ConnContext
					}
					var res *http.Response
					if protocol == "HTTP/2" {
						ts.EnableHTTP2 = true
						ts.StartTLS()
						defer ts.Close()
						var err error
						res, err = ts.Client().Get(ts.URL)
						require.NoError(t, err)
						require.Equal(t, 2, res.ProtoMajor)
					} else {
						ts.Start()
						defer ts.Close()
						c, err := net.Dial("tcp", ts.Listener.Addr().String())
						require.NoError(t, err)
						defer c.Close()
						res = ask(t, c, bufio.NewReader(c), "/", protocol[:len("HTTP/1.1")])
					}
					defer res.Body.Close()
					_, err := io.ReadFull(res.Body, make([]byte, len("first half")))
					require.NoError(t, err)
					d.Start()
					_, err = io.Copy(io.Discard, res.Body)
					assert.Error(t, err)
					assert.NoError(t, d.Shutdown(context.Background()))
					assert.EqualValues(t, 1, d.Report().Cut)
					if handler == "goes on until cut" {
						assert.Equal(t, blind, strings.Contains(log.String(), "a cut can't close the connection"), "%s", &log)
					}
				})
			}
		}
	}
}

// ask sends a request on c and gives the answer, as it comes.
func ask(t *testing.T, c net.Conn, br *bufio.Reader, path, protocol string, header ...string) *http.Response {
	t.Helper()
	_, err := io.WriteString(c, strings.Join(append([]string{"GET " + path + " " + protocol, "Host: memory"}, header...), "\r\n")+"\r\n\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	return res
}

// A handler that sets a write deadline for each event leaves one behind that has
// passed when the end of its body is written.
func TestEndAfterTheHandlersWriteDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 8 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			control := http.NewResponseController(w)
			tick := time.NewTicker(5 * time.Second)
			defer tick.Stop()
			for r.Context().Err() == nil { // the second time round the farewell is out
				assert.NoError(t, control.SetWriteDeadline(time.Now().Add(time.Second)))
				_, err := io.WriteString(w, "data: tick\n\n")
				assert.NoError(t, err)
				assert.NoError(t, control.Flush())
				select {
				case <-tick.C:
				case <-r.Context().Done():
				}
			}
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(8 * time.Second)
		a := <-got
		assert.NoError(t, a.err, "a clean end")
		assert.Contains(t, a.body, "event: shutdown")
		assert.EqualValues(t, 1, report.Told)
	})
}

// Events of a known length end by themselves, and have no room for a farewell.
func TestEventStreamOfAKnownLengthIsFinite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const event = "data: one of two\n\n"
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Length", fmt.Sprint(2*len(event)))
			_, _ = io.WriteString(w, event)
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Second)
			_, _ = io.WriteString(w, event)
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(10 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Equal(t, event+event, a.body)
		assert.EqualValues(t, 1, report.Completed)
	})
}

// The handler of a stream runs on for a HEAD too. It ends with the streams, and
// not with the budget.
func TestHeadOfAStreamEndsWithItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, ticks(nil))
		res, err := r.client.Head("http://memory/")
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, res.StatusCode)
		r.drain()
		assert.EqualValues(t, 1, r.ended(3*time.Second).Cancelled)
	})
}

// A handler that turns out to be finite while its farewell waits for the end of
// an event has all the time of a finite one.
func TestTagWhileTheFarewellWaitsPutsTheCancelOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: tok")
			w.(http.Flusher).Flush()
			time.Sleep(time.Second) // asked for here
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(9 * time.Second) // a stream would be cancelled at 3 s
			assert.NoError(t, r.Context().Err())
			_, _ = io.WriteString(w, "en\n\n")
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(10 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Equal(t, "data: token\n\n", a.body)
		assert.EqualValues(t, 1, report.Completed)
	})
}

// A handler's OnFarewell runs on the drain's goroutines. Its panic ends neither
// the process nor the stream without a word.
func TestOnFarewellThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell { panic("no words") })
			ticks(nil)(w, r)
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(3 * time.Second)
		assert.Contains(t, (<-got).body, "event: shutdown", "its rule's farewell instead")
		assert.EqualValues(t, 1, report.Told)
		assert.Contains(t, log.String(), "panicked: no words")
	})
}

// One that blocks holds up the drain for half the reserve once nothing else is
// left, and then it goes on without it.
func TestOnFarewellThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		free := make(chan struct{})
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell {
				<-free
				return policy.Farewell{}
			})
			ticks(nil)(w, r)
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(4500 * time.Millisecond) // cancelled at 3 s and half a mercy, and 1 s
		assert.EqualValues(t, 1, report.Cancelled)
		assert.Contains(t, log.String(), "an OnFarewell function blocks")
		assert.NotContains(t, (<-got).body, "event: shutdown")
		close(free)
	})
}

// What the drain leaves of the budget is all that handlers outside of Graceful
// get.
func TestRunKeepsWithinItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Total: 20 * time.Second}} // 2 s of it in reserve
		mux := http.NewServeMux()
		mux.HandleFunc("/outside", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		mux.Handle("/", middleware.Graceful(d)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(18900 * time.Millisecond)
		})))
		r := serveAll(t, d, mux)
		outside, inside := r.later("/outside"), r.later("/")
		r.drain()
		took, err := r.end()
		assert.NoError(t, err)
		assert.Equal(t, 20*time.Second, took)
		assert.Error(t, (<-outside).err)
		<-inside
	})
}

// A deadline that comes before the end of the announcement shortens that too, so
// that there is time for farewells.
func TestDeadlineBeforeTheAnnouncementIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Announce: 10 * time.Second}}
		r := serve(t, d, ticks(nil))
		got := r.later("/")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		assert.NoError(t, d.Shutdown(ctx))
		assert.NoError(t, (<-got).err)
		assert.EqualValues(t, 1, d.Report().Told)
		_, err := r.end()
		assert.NoError(t, err)
	})
}

// An http.TimeoutHandler has answered for the handler that it left. When that one
// is cut, the connection is at its next request, which has nothing to do with it.
func TestCutOfAHandlerThatATimeoutHandlerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		stay := make(chan struct{})
		deaf := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stay })
		mux := http.NewServeMux()
		mux.Handle("/left", http.TimeoutHandler(middleware.Graceful(d, policy.Rule{Grace: time.Second, Mercy: time.Second})(deaf), time.Second, "late"))
		mux.Handle("/next", middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "first half, ")
			w.(http.Flusher).Flush()
			time.Sleep(2500 * time.Millisecond) // past the cut, at 2 s
			_, _ = io.WriteString(w, "second half")
		})))
		r := serveAll(t, d, mux)
		c, err := r.net.Dial(context.Background(), "", "")
		require.NoError(t, err)
		defer c.Close()
		br := bufio.NewReader(c)
		res := ask(t, c, br, "/left", "HTTP/1.1")
		assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		res = ask(t, c, br, "/next", "HTTP/1.1")
		r.drain()
		body, err := io.ReadAll(res.Body)
		assert.NoError(t, err)
		assert.Equal(t, "first half, second half", string(body))
		close(stay)
		r.ended(2500 * time.Millisecond)
	})
}
