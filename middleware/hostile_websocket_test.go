package middleware_test

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A farewell that was asked for while the handler still looked up who is asking
// is said by the connection that it hijacks then.
func TestFarewellThatCameBeforeTheUpgrade(t *testing.T) {
	for _, kind := range []policy.Kind{policy.Auto, policy.Infinite} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{t: t}
				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Kind: kind}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(500 * time.Millisecond)
					echo(s)(w, r)
				}))
				r.store = s
				dialled := make(chan *websocket.Conn)
				go func() {
					c, _, err := (&websocket.Dialer{NetDialContext: r.net.Dial}).Dial("ws://memory/", nil)
					assert.NoError(t, err)
					dialled <- c
				}()
				r.drain()
				c := <-dialled
				defer c.Close()
				_, _, err := c.ReadMessage()
				assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, err).Code)
				assert.EqualValues(t, 1, r.ended(500*time.Millisecond).Told)
			})
		})
	}
}

// A Hijack that is found by unwrapping, behind middleware that hides it, is ours
// too: else the connection would outlive the drain.
func TestHijackThatIsFoundByUnwrapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{t: t}
		d := &middleware.Drainer{}
		r := serveAll(t, d, asUnwrapping(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.NotImplements(t, (*http.Hijacker)(nil), w)
			echo(s)(opaque{bare{w}}, r) // hijacks through a ResponseController
		}))))
		r.store = s
		c := r.dial("/")
		r.drain()
		_, _, err := c.ReadMessage()
		assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, err).Code)
		report := r.ended(0)
		assert.Equal(t, stream.Tally{WebSocket: 1}, report.Found)
		assert.EqualValues(t, 1, report.Told)
	})
}

// Handlers that answer once more after the upgrade don't turn the WebSocket back
// into a response, though a wrapper around us keeps us from net/http's writer.
func TestAnswerAfterTheHijack(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"an error":       func(w http.ResponseWriter) { http.Error(w, "oops", http.StatusInternalServerError) },
		"a status":       func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) },
		"an empty write": func(w http.ResponseWriter) { _, _ = w.Write(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{t: t}
				d := &middleware.Drainer{}
				r := serveAll(t, d, asOpaque(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					pumps(s)(w, r)
					answer(w)
				}))))
				r.store = s
				c := r.dial("/")
				r.drain()
				_, _, err := c.ReadMessage()
				assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, err).Code)
				assert.EqualValues(t, 1, r.ended(0).Told)
			})
		})
	}
}

// Hijack takes off the deadlines by which the cut holds a connection that it
// doesn't know. It must not bring that one back to life.
func TestHijackAfterTheCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		after := make(chan error, 1)
		r := withoutRun(t, middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			time.Sleep(time.Millisecond) // the cut comes at once
			conn, _, err := w.(http.Hijacker).Hijack()
			if !assert.NoError(t, err) {
				return
			}
			defer conn.Close()
			_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\nalive")
			after <- err
		})))
		c := r.stuck("/")
		defer c.Close()
		go io.Copy(io.Discard, c)
		synctest.Wait()
		assert.NoError(t, d.Close())
		assert.Error(t, <-after)
		_, err := r.end()
		assert.ErrorIs(t, err, http.ErrServerClosed)
	})
}

// A request for a WebSocket that was answered 200 and hijacked then is a body,
// into which no frame belongs.
func TestHijackAfterA200IsNoWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			conn, _, err := w.(http.Hijacker).Hijack()
			if !assert.NoError(t, err) {
				return
			}
			defer conn.Close()
			<-r.Context().Done()
		}))
		c, err := r.net.Dial(context.Background(), "", "")
		require.NoError(t, err)
		defer c.Close()
		res := ask(t, c, bufio.NewReader(c), "/", "HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket")
		assert.Equal(t, http.StatusOK, res.StatusCode)
		r.drain()
		rest, _ := io.ReadAll(res.Body) // its error is that the last chunk is missing, which is the handler's
		assert.Empty(t, rest)
		r.ended(3 * time.Second)
	})
}

// Everything at once, much of it at the same instant: each request has one
// outcome, no event is torn, and the drain keeps within its budget.
func TestChaos(t *testing.T) {
	upTo := func(d time.Duration) { time.Sleep(rand.N(d)) }
	ticking := func(w http.ResponseWriter, r *http.Request, each func(i int)) {
		for i := 0; r.Context().Err() == nil; i++ {
			each(i)
			if _, err := io.WriteString(w, "data: tick\n\n"); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			upTo(3 * time.Millisecond)
		}
	}
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			s := &store{t: t}
			mux := http.NewServeMux()
			mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() { ticking(w, r, func(int) { s.use() }) })
				}
				wg.Wait()
			})
			mux.HandleFunc("/flip", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				ticking(w, r, func(i int) { stream.Tag(r.Context(), policy.Kind(i%3)) })
			})
			mux.Handle("/ws", echo(s))
			mux.HandleFunc("/finite", func(w http.ResponseWriter, _ *http.Request) {
				upTo(60 * time.Millisecond)
				_, _ = io.WriteString(w, "ok")
			})
			mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) {
				upTo(60 * time.Millisecond)
				panic(http.ErrAbortHandler)
			})
			mux.HandleFunc("/goexit", func(http.ResponseWriter, *http.Request) {
				upTo(60 * time.Millisecond)
				runtime.Goexit()
			})
			d := &middleware.Drainer{
				Policy: policy.Rule{Grace: 20 * time.Millisecond, Spread: 20 * time.Millisecond, Timeout: 30 * time.Millisecond, Mercy: 30 * time.Millisecond},
				Budget: policy.Budget{Total: time.Second},
			}
			graceful := middleware.Graceful(d)(mux)
			var asked atomic.Uint64
			r := serveAll(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				graceful.ServeHTTP(w, r)
			}))
			r.store = s
			r.client.Transport.(*http.Transport).DisableKeepAlives = true // they'd retry

			var clients sync.WaitGroup
			paths := []string{"/stream", "/flip", "/ws", "/finite", "/panic", "/goexit"}
			for i := range 60 {
				clients.Go(func() {
					upTo(40 * time.Millisecond)
					path := paths[i%len(paths)]
					if path == "/ws" {
						c, _, err := (&websocket.Dialer{NetDialContext: r.net.Dial}).Dial("ws://memory/ws", nil)
						for err == nil {
							_, _, err = c.ReadMessage()
						}
						if c != nil {
							c.Close()
						}
						return
					}
					a := <-r.later(path)
					if a.err == nil && path == "/stream" && a.StatusCode == http.StatusOK {
						assert.Regexp(t, `^(data: tick\n\n)*retry: \d+\nevent: shutdown\ndata: .*\n\n$`, a.body)
					}
				})
			}
			time.Sleep(30 * time.Millisecond)
			r.stop()
			took, err := r.end()
			assert.NoError(t, err)
			assert.LessOrEqual(t, took, time.Second)
			clients.Wait()
			report := d.Report()
			assert.Equal(t, asked.Load(), report.Before.All()+report.All(), "%+v", report)
			assert.Zero(t, report.Open.All())
		})
	}
}
