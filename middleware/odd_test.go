package middleware_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func TestAnswerWithoutAWordClosesItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-stream.Draining(r.Context())
		}))
		got := r.later("/")
		r.drain()
		r.ended(0)
		a := <-got
		assert.Equal(t, http.StatusOK, a.StatusCode)
		assert.True(t, a.Close, "Connection: close")
	})
}

// A HEAD is whole with its header, so cancelling breaks nothing off.
func TestHeadIsWholeWithItsHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			<-r.Context().Done()
		}))
		got := make(chan answer, 1)
		go func() {
			res, err := r.client.Head("http://memory/")
			got <- answer{Response: res, err: err}
		}()
		r.drain()
		report := r.ended(time.Second)
		assert.NoError(t, (<-got).err)
		assert.EqualValues(t, 1, report.Cancelled)
	})
}

// A stream's handler that listens need not wait for its cancel.
func TestStreamThatListensEndsAtItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-stream.Draining(r.Context())
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(time.Second)
		assert.Contains(t, (<-got).body, "event: shutdown", "the farewell came first")
		assert.EqualValues(t, 1, report.Told)
	})
}

// A write deadline that the handler set for an event long gone doesn't fail the
// farewell.
func TestFarewellAfterTheHandlersWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			assert.NoError(t, http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second)))
			_, _ = io.WriteString(w, "data: a\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		got := r.later("/")
		time.Sleep(time.Minute)
		r.drain()
		r.ended(3 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Contains(t, a.body, "event: shutdown")
	})
}

// The farewell is on its way to a peer that doesn't read when the handler
// returns: the response lasts until that is over, at the latest by its cut.
func TestHandlerReturnsWhileTheFarewellIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		c := r.stuck("/")
		defer c.Close()
		br := bufio.NewReader(c)
		for line := ""; line != "\r\n"; { // the header, and not a byte more
			var err error
			line, err = br.ReadString('\n')
			require.NoError(t, err)
		}
		r.drain()
		report := r.ended(3 * time.Second)
		assert.EqualValues(t, 1, report.Cut)
	})
}

// A writer that heeds no deadline can hold its own handler, not the drain.
func TestWriterThatCannotBeFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Total: 10 * time.Second}}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			<-r.Context().Done()
		}))
		w := &blocking{ResponseRecorder: httptest.NewRecorder(), free: make(chan struct{})}
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			defer func() { assert.Equal(t, http.ErrAbortHandler, recover(), "as net/http does: it must not look whole") }()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/deaf", nil))
		}()
		synctest.Wait()
		began := time.Now()
		err := d.Shutdown(context.Background())
		assert.ErrorContains(t, err, "1 still running")
		assert.LessOrEqual(t, time.Since(began), 10*time.Second)
		close(w.free)
		<-returned
	})
}

type blocking struct {
	*httptest.ResponseRecorder
	free chan struct{}
}

func (b *blocking) Write(p []byte) (int, error) {
	<-b.free
	return len(p), nil
}

// A handler that turns out to be finite while its farewell waits for the end of
// an event isn't told, and loses no byte.
func TestTagWhileTheFarewellWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: a\n")
			w.(http.Flusher).Flush()
			time.Sleep(time.Second) // asked for here
			stream.Tag(r.Context(), policy.Finite)
			_, _ = io.WriteString(w, "\ndata: b\n\n")
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(time.Second)
		assert.Equal(t, "data: a\n\ndata: b\n\n", (<-got).body)
		assert.EqualValues(t, 1, report.Completed)
	})
}

// What was told stays told: a Tag can't take it back, nor put the cancel off.
func TestTagAfterTheFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-stream.Draining(r.Context())
			stream.Tag(r.Context(), policy.Finite)
			<-r.Context().Done()
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(3 * time.Second)
		assert.NoError(t, (<-got).err)
		assert.EqualValues(t, 1, report.Told)
	})
}

// An event stream that is copied from elsewhere is followed too.
func TestCopiedEventStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			src, feed := io.Pipe()
			go func() {
				for _, part := range []string{"data: a\n", "\ndata: b\n\n"} {
					_, _ = io.WriteString(feed, part)
					time.Sleep(time.Second)
				}
				<-r.Context().Done()
				feed.Close()
			}()
			_, _ = io.Copy(struct{ http.ResponseWriter }{w}.ResponseWriter, src)
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(3 * time.Second)
		assert.Regexp(t, `^data: a\n\nretry: \d+\nevent: shutdown\ndata: .*\n\n$`, (<-got).body)
		assert.EqualValues(t, 1, report.Told)
	})
}

// A handler that waits for the rest of an upload is freed at its cancel, so that
// the client can be answered. Without ConnContext the deadlines do it.
func TestStuckUploadIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Mercy: time.Second}}
		l := memnet.New()
		failed := make(chan error, 1)
		srv := &http.Server{Handler: middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			failed <- err
		}))}
		served := make(chan error)
		go func() { served <- srv.Serve(l) }()
		c, err := l.Dial(context.Background(), "", "")
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: memory\r\nContent-Length: 100\r\n\r\nsome")
		require.NoError(t, err)
		answered := make(chan *http.Response, 1)
		go func() {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			assert.NoError(t, err)
			answered <- res
		}()
		synctest.Wait()
		began := time.Now()
		assert.NoError(t, d.Shutdown(context.Background()))
		assert.Error(t, <-failed)
		assert.Equal(t, http.StatusServiceUnavailable, (<-answered).StatusCode)
		assert.Equal(t, time.Second, time.Since(began))
		assert.EqualValues(t, 1, d.Report().Cancelled)
		srv.Close()
		<-served
	})
}

func TestContextIsReleasedWhenTheHandlerReturns(t *testing.T) {
	d := &middleware.Drainer{}
	var ctx context.Context
	middleware.Graceful(d)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx = r.Context()
		ctx.Done()
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	<-ctx.Done()
	assert.Equal(t, context.Canceled, context.Cause(ctx))
}

// Handlers outside of Graceful have the reserve to end, and are closed then.
func TestRunClosesWhatIsNotUnderIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		r := serveAll(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done() // the close breaks the connection, which ends it
		}))
		got := r.later("/")
		r.drain()
		took, err := r.end()
		assert.NoError(t, err)
		assert.Equal(t, 2*time.Second, took)
		assert.ErrorIs(t, (<-got).err, io.ErrUnexpectedEOF)
	})
}

// coder's way to hijack: the 101 goes through net/http first, and frames through
// the writer that Hijack gave. The peer's early Close came with its request.
func TestHijackAfterThe101(t *testing.T) {
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
				assert.EqualValues(t, 1, told(r.ended(0)))
			})
		})
	}
}

// A last message can't stand inside somebody's fragmented message: it is left
// out after half the time, and the Close goes alone.
func TestMessageThatFindsNoBoundary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 4 * time.Second, Farewell: policy.Farewell{Message: "bye"}}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			part, err := c.NextWriter(websocket.TextMessage)
			assert.NoError(t, err)
			_, _ = part.Write(make([]byte, 8192)) // more than its buffer: a fragment goes out
			_, _, err = c.ReadMessage()
			assert.Error(t, err)
		}))
		c := r.dial("/")
		reading := make(chan error)
		go func() {
			_, _, err := c.ReadMessage()
			reading <- err
		}()
		r.drain()
		assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, <-reading).Code)
		assert.Equal(t, 2*time.Second, r.since())
		assert.EqualValues(t, 1, told(r.ended(2*time.Second)))
	})
}

// A stream whose type somebody around us has set is seen when its header leaves.
func TestStreamThatSomebodyElseTyped(t *testing.T) {
	for name, c := range map[string]struct {
		flushFirst, flushThen bool
		events                int
	}{
		"flushed first":          {true, true, 1},
		"written first":          {false, true, 1},
		"too much to be held up": {false, false, 300},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{}
				h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c.flushFirst {
						w.(http.Flusher).Flush()
					}
					for range c.events {
						_, _ = io.WriteString(w, "data: a\n\n")
					}
					if c.flushThen {
						w.(http.Flusher).Flush()
					}
					<-r.Context().Done()
				}))
				r := serveAll(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					h.ServeHTTP(w, r)
				}))
				got := r.later("/")
				r.drain()
				r.ended(3 * time.Second)
				a := <-got
				assert.NoError(t, a.err)
				assert.Regexp(t, fmt.Sprintf(`^(data: a\n\n){%d}retry: \d+\nevent: shutdown\n`, c.events), a.body)
			})
		})
	}
}
