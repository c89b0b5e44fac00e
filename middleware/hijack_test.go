package middleware_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
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

// A connection that was upgraded to something else than a WebSocket is told through its context
// only, and closed in the end.
func TestHijackedConnectionThatIsNoWebSocketIsNeverWrittenInto(t *testing.T) {
	for name, c := range map[string]struct {
		listens bool
		after   time.Duration
		outcome func(middleware.Report) uint64
	}{
		"ends when canceled": {true, 2 * time.Second, canceled},
		"never ends":         {false, 3 * time.Second, wasCut},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					conn, brw, err := w.(http.Hijacker).Hijack()
					if !assert.NoError(t, err) {
						return
					}
					defer conn.Close()
					assert.Equal(t, 5, brw.Reader.Buffered(), "what the client sent early is there")
					_, _ = brw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n")
					_ = brw.Flush()
					_, _ = io.CopyN(brw, brw, 5)
					_ = brw.Flush()
					if c.listens {
						<-r.Context().Done()
						return
					}
					_, _ = io.Copy(io.Discard, brw)
				}))
				conn, err := r.net.Dial(context.Background(), "", "")
				require.NoError(t, err)
				defer conn.Close()
				_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: memory\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly")
				require.NoError(t, err)
				br := bufio.NewReader(conn)
				res, err := http.ReadResponse(br, nil)
				require.NoError(t, err)
				assert.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
				early := make([]byte, 5)
				_, err = io.ReadFull(br, early)
				require.NoError(t, err)
				assert.Equal(t, "early", string(early))
				r.drain()
				rest, err := io.ReadAll(br)
				assert.NoError(t, err)
				assert.Empty(t, rest, "nothing is ever written into it")
				report := r.endsAfter(c.after)
				assert.Equal(t, middleware.Tally{Other: 1}, report.Found)
				assert.EqualValues(t, 1, c.outcome(report), "%+v", report)
			})
		})
	}
}

// A hijacked connection that its handler forgets to close is closed for it, and named in the error:
// nobody can know whether something still uses it.
func TestHijackedConnectionThatNobodyClosesIsNamed(t *testing.T) {
	t.Run("upgraded by a library", func(t *testing.T) {
		testForgotten(t, func(w http.ResponseWriter, r *http.Request) net.Conn {
			c, err := upgrader.Upgrade(w, r, nil)
			if !assert.NoError(t, err) {
				return nil
			}
			return c.NetConn()
		})
	})
	t.Run("hijacked by the handler", func(t *testing.T) {
		testForgotten(t, func(w http.ResponseWriter, r *http.Request) net.Conn {
			c, _, err := http.NewResponseController(w).Hijack()
			if !assert.NoError(t, err) {
				return nil
			}
			key := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
				"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(key[:])+"\r\n\r\n")
			return c
		})
	})
}

func testForgotten(t *testing.T, take func(http.ResponseWriter, *http.Request) net.Conn) {
	synctest.Test(t, func(t *testing.T) {
		var leaked net.Conn
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			leaked = take(w, r)
		}))
		c := r.dial("/")
		r.drain()
		_, _, err := c.ReadMessage()
		closeOf(t, err)
		_, err = r.end()
		var incomplete *middleware.IncompleteError
		require.ErrorAs(t, err, &incomplete)
		require.Len(t, incomplete.Running, 1)
		assert.Equal(t, "GET /", incomplete.Running[0].Route)
		assert.Regexp(t, `middleware_test\.(testForgotten|TestHijackedConnectionThatNobodyClosesIsNamed)`, incomplete.Running[0].Hijacker)
		assert.ErrorContains(t, err, "1 returned, but nobody closed the connection that they hijacked: GET / (infinite websocket")
		assert.ErrorContains(t, err, ", hijacked by github.com/lastcall-go/lastcall/middleware_test.")
		assert.NotContains(t, err.Error(), "still running")
		leaked.Close()
	})
}

// A Hijack that is found by Unwrap, behind middleware that hides it, is tracked too. Else the
// connection would outlive the drain.
func TestHijackFoundByUnwrappingIsTracked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{t: t}
		d := &middleware.Drainer{}
		r := serveWrapped(t, d, wrapUnwrapOnly(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.NotImplements(t, (*http.Hijacker)(nil), w)
			echo(s)(withoutUnwrap{bare{w}}, r) // hijacks through a ResponseController
		}))))
		r.store = s
		c := r.dial("/")
		r.drain()
		_, _, err := c.ReadMessage()
		assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, err).Code)
		report := r.endsAfter(0)
		assert.Equal(t, middleware.Tally{WebSocket: 1}, report.Found)
		assert.EqualValues(t, 1, report.Told)
	})
}

// coder/websocket writes the 101 through net/http before it hijacks, and frames through the writer
// that Hijack returned. The peer's early Close came with its request.
func TestHijackAfterThe101IsAWebSocket(t *testing.T) {
	for name, early := range map[string]string{"no early data": "", "the peer's Close came early": "\x88\x80\x00\x00\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Upgrade", "websocket")
					w.Header().Set("Connection", "Upgrade")
					w.WriteHeader(http.StatusSwitchingProtocols)
					conn, brw, err := w.(http.Hijacker).Hijack()
					if !assert.NoError(t, err) {
						return
					}
					defer conn.Close()
					assert.Equal(t, len(early), brw.Reader.Buffered())
					_, _ = brw.WriteString("\x81\x02hi")
					_ = brw.Flush()
					<-stream.Draining(r.Context())
				}))
				c, err := r.net.Dial(context.Background(), "", "")
				require.NoError(t, err)
				defer c.Close()
				_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: memory\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"+early)
				require.NoError(t, err)
				br := bufio.NewReader(c)
				res, err := http.ReadResponse(br, nil)
				require.NoError(t, err)
				assert.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
				r.drain()
				frame := make([]byte, 8)
				_, err = io.ReadFull(br, frame)
				require.NoError(t, err)
				assert.Equal(t, "\x81\x02hi", string(frame[:4]))
				assert.Equal(t, byte(0x88), frame[4], "a Close")
				assert.Equal(t, "\x03\xf4", string(frame[6:]), "1012")
				if early == "" {
					go c.Write([]byte("\x88\x80\x00\x00\x00\x00"))
				}
				_, err = io.Copy(io.Discard, br)
				assert.NoError(t, err)
				assert.EqualValues(t, 1, told(r.endsAfter(0)))
			})
		})
	}
}

// A request for a WebSocket that was answered 200 and then hijacked is a body, into which no frame
// belongs.
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
		res := sendRequest(t, c, bufio.NewReader(c), "/", "HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket")
		assert.Equal(t, http.StatusOK, res.StatusCode)
		r.drain()
		rest, _ := io.ReadAll(res.Body) // its error is that the last chunk is missing, which is the handler's
		assert.Empty(t, rest)
		r.endsAfter(3 * time.Second)
	})
}

// Hijack takes off the deadlines by which the cut holds a connection that it doesn't know. It must
// not bring that one back to life.
func TestHijackAfterTheCutGivesNoLiveConnection(t *testing.T) {
	for _, upgrade := range []string{"tcp", "websocket"} {
		t.Run(upgrade, func(t *testing.T) { testHijackAfterTheCut(t, upgrade) })
	}
}

func testHijackAfterTheCut(t *testing.T, upgrade string) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		after := make(chan error, 1)
		r := serveWithoutRun(t, middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			time.Sleep(time.Millisecond) // the cut comes at once
			r.Header.Set("Upgrade", upgrade)
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
		assert.EqualValues(t, 1, d.Report().Cut)
		_, err := r.end()
		assert.ErrorIs(t, err, http.ErrServerClosed)
	})
}

// A handler that answers once more after the upgrade doesn't turn the WebSocket back into a
// response, though a wrapper around Graceful hides net/http's writer.
func TestAnswerAfterTheHijackChangesNothing(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"an error":       func(w http.ResponseWriter) { http.Error(w, "oops", http.StatusInternalServerError) },
		"a status":       func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) },
		"an empty write": func(w http.ResponseWriter) { _, _ = w.Write(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{t: t}
				d := &middleware.Drainer{}
				r := serveWrapped(t, d, wrapWithoutUnwrap(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					pumps(s)(w, r)
					answer(w)
				}))))
				r.store = s
				c := r.dial("/")
				r.drain()
				_, _, err := c.ReadMessage()
				assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, err).Code)
				assert.EqualValues(t, 1, r.endsAfter(0).Told)
			})
		})
	}
}

// silentAfterHijack is a writer that does nothing more once its connection was hijacked, as many of
// other middleware.
type silentAfterHijack struct {
	http.ResponseWriter
	hijacked bool
}

func (w *silentAfterHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

func (w *silentAfterHijack) Flush() {
	if !w.hijacked {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
	}
}

// A connection that was hijacked stays a stream, whatever is done to the writer then.
func TestFlushAfterTheHijackChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			w.(http.Flusher).Flush()
			assert.Equal(t, policy.Infinite, stream.From(r.Context()).Kind())
			_, _, err = c.ReadMessage()
			assert.Error(t, err)
		}))
		r := serveWrapped(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&silentAfterHijack{ResponseWriter: w}, r)
		}))
		c := r.dial("/")
		reading := make(chan error)
		go func() {
			_, _, err := c.ReadMessage()
			reading <- err
		}()
		r.drain()
		assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, <-reading).Code)
		assert.EqualValues(t, 1, told(r.endsAfter(0)))
	})
}
