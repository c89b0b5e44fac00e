package middleware_test

import (
	"bufio"
	"fmt"
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
	"github.com/lastcall-go/lastcall/stream"
)

// An event stream is untouched until its grace is over. Then it gets the farewell of its rule, what
// its handler writes after that is swallowed, and after the timeout it ends.
func TestEventStreamIsToldThenEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{
			Grace: 4500 * time.Millisecond, Timeout: 2 * time.Second,
			Reconnect: policy.Window{Min: 1500 * time.Millisecond, Max: 1500 * time.Millisecond},
			Farewell:  policy.Farewell{Event: "bye", Data: "come back in {retry} ms\nor later"},
		}}
		s := &store{t: t}
		r := serve(t, d, ticks(s))
		r.store = s
		var ended error
		got := lines(r.open("/").Body, &ended)
		<-got // so that it is a stream by now
		<-got
		r.drain()
		for range 4 { // ticks at 1 s to 4 s: untouched for as long as its grace lasts
			assert.Equal(t, "data: tick", <-got)
			assert.Equal(t, "", <-got)
		}
		for _, want := range []string{"retry: 1500", "event: bye", "data: come back in 1500 ms", "data: or later", ""} {
			assert.Equal(t, want, <-got)
			assert.Equal(t, 4500*time.Millisecond, r.since())
		}
		_, more := <-got
		assert.False(t, more, "what the handler writes after the farewell is swallowed")
		assert.NoError(t, ended, "a clean end")
		assert.Equal(t, 6500*time.Millisecond, r.since())
		assert.EqualValues(t, 1, told(r.endsAfter(6500*time.Millisecond)))
	})
}

func TestFarewellOfARuleWithoutTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}, ticks(nil))
		res := r.open("/")
		got := make(chan string)
		go func() {
			b, err := io.ReadAll(res.Body)
			assert.NoError(t, err)
			got <- string(b)
		}()
		r.drain()
		assert.Regexp(t, `^data: tick\n\nretry: \d{4}\nevent: shutdown\ndata: {"retry":\d{4}}\n\n$`, <-got)
		assert.EqualValues(t, 1, told(r.endsAfter(0)))
	})
}

// A farewell waits for the end of the event that is being written, and goes in between when one
// Write has both its end and more.
func TestFarewellTearsNoEvent(t *testing.T) {
	for name, c := range map[string]struct {
		parts []string
		want  string
		end   func(middleware.Report) uint64
	}{
		"several writes an event":    {[]string{"id: 1\n", "data: a\n", "\n", "data: b\n\n"}, "id: 1\ndata: a\n\nFAREWELL", told},
		"end and beginning in one":   {[]string{"data: a\n", "\ndata: b\n", "\n"}, "data: a\n\nFAREWELL", told},
		"an event that never ends":   {[]string{"data: a\n", "data: b\n"}, "data: a\ndata: b\n", canceled},
		"not an event stream at all": {[]string{"\x1f\x8b\x00", "\n\n"}, "\x1f\x8b\x00\n\n", canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: 10 * time.Second}}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					for _, part := range c.parts { // the drain begins after the first
						n, err := io.WriteString(w, part)
						assert.NoError(t, err)
						assert.Equal(t, len(part), n)
						w.(http.Flusher).Flush()
						time.Sleep(time.Second)
					}
					<-r.Context().Done()
				}))
				body := r.open("/").Body
				got := make(chan string)
				go func() {
					b, err := io.ReadAll(body)
					assert.NoError(t, err)
					got <- string(b)
				}()
				r.drain()
				seen := <-got
				if i := strings.Index(seen, "retry:"); i >= 0 {
					assert.Regexp(t, `^retry: \d+\nevent: shutdown\ndata: {"retry":\d+}\n\n$`, seen[i:])
					seen = seen[:i] + "FAREWELL"
				}
				assert.Equal(t, c.want, seen)
				assert.EqualValues(t, 1, c.end(r.endsAfter(10*time.Second)))
			})
		})
	}
}

// Events are cut into writes in many ways: a farewell in the midst of the handler's output never
// tears an event, and nothing of the handler's comes after it.
func TestFarewellAmidAllWaysToCutTheWrites(t *testing.T) {
	const event = "id: 7\nevent: e\ndata: a\ndata: b\n\n"
	body := strings.Repeat(event, 3)
	for size := 1; size <= len(body); size += 5 {
		for wait := range 3 {
			t.Run(fmt.Sprint("size ", size, " after ", wait), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: time.Duration(wait)*80*time.Millisecond + 5*time.Millisecond}},
						http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							w.Header().Set("Content-Type", "text/event-stream")
							for rest := body; rest != ""; {
								n := min(size, len(rest))
								_, _ = io.WriteString(w, rest[:n])
								w.(http.Flusher).Flush()
								rest = rest[n:]
								time.Sleep(10 * time.Millisecond)
							}
						}))
					got := r.getAsync("/")
					r.drain()
					_, err := r.end()
					assert.NoError(t, err)
					a := <-got
					assert.NoError(t, a.err)
					events, _, told := strings.Cut(a.body, "retry:")
					if told {
						assert.Zero(t, len(events)%len(event), "torn: %q", a.body)
						assert.Regexp(t, `^ \d+\nevent: shutdown\ndata: .*\n\n$`, strings.TrimPrefix(a.body, events+"retry:"))
					}
					assert.True(t, strings.HasPrefix(body, events))
				})
			})
		}
	}
}

// A farewell that fell due before the handler wrote its header comes right after that, though no
// event follows.
func TestFarewellAskedForBeforeTheHeader(t *testing.T) {
	for _, kind := range []policy.Kind{policy.Auto, policy.Infinite} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Kind: kind}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(500 * time.Millisecond) // looks up who is asking
					w.Header().Set("Content-Type", "text/event-stream")
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}))
				got := r.getAsync("/")
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

// A stream that begins in the midst of the drain gets its farewell.
func TestStreamThatBeginsDuringTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			time.Sleep(5 * time.Second) // undecided when the drain begins
			ticks(nil)(w, req)
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(6 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Regexp(t, `^(data: tick\n\n)?retry: \d+\nevent: shutdown\n.*\n\n$`, a.body)
		assert.EqualValues(t, 1, report.Told)
	})
}

// A write deadline that the handler set for an earlier event doesn't fail the farewell.
func TestPastWriteDeadlineDoesNotFailTheFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			assert.NoError(t, http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second)))
			_, _ = io.WriteString(w, "data: a\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		got := r.getAsync("/")
		time.Sleep(time.Minute)
		r.drain()
		r.endsAfter(3 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Contains(t, a.body, "event: shutdown")
	})
}

// A handler that sets a write deadline for each event leaves one behind that has passed when the
// end of its body is written.
func TestPastWriteDeadlineDoesNotFailTheEnd(t *testing.T) {
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
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(8 * time.Second)
		a := <-got
		assert.NoError(t, a.err, "a clean end")
		assert.Contains(t, a.body, "event: shutdown")
		assert.EqualValues(t, 1, report.Told)
	})
}

// A farewell would break a compressed stream.
func TestCompressedStreamIsNotWrittenInto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "opaque")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(3 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Equal(t, "opaque", a.body)
		assert.Equal(t, 1, report.Found.Other)
		assert.EqualValues(t, 1, report.Canceled)
	})
}

// A client that reads nothing is cut at its own deadline, and holds up nobody else.
func TestEventStreamWhoseClientDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{t: t}
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /stream", ticks(s))
		r := serve(t, d, mux)
		r.store = s
		c := r.stuck("/stream")
		defer c.Close()
		time.Sleep(10 * time.Second)
		healthy := r.getAsync("/stream")
		r.drain()
		assert.NoError(t, (<-healthy).err)
		assert.Equal(t, 2*time.Second, r.since(), "the healthy one ends on time")
		report := r.endsAfter(3 * time.Second)
		assert.EqualValues(t, 1, report.Told)
		assert.EqualValues(t, 1, report.Cut)
		require.Len(t, report.Aborted, 1)
		cut := report.Aborted[0]
		cut.Where, cut.Stack = "", "" // seen only if a look at the handlers came in time
		assert.Equal(t, middleware.ResponseInfo{
			Route: "GET /stream", Pattern: "GET /stream", Remote: "pipe", Kind: policy.Infinite, Format: stream.SSE,
			Age: 13 * time.Second, Idle: 13 * time.Second,
		}, cut)
	})
}

// When the handler returns while its farewell is on its way to a client that doesn't read, the
// response lasts until that is over, at the latest by its cut.
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
		report := r.endsAfter(3 * time.Second)
		assert.EqualValues(t, 1, report.Cut)
	})
}

// A handler that goes by nothing but the errors of its writes, or by CloseNotify as gin's
// Context.Stream does, goes on after its farewell, swallowed, and is freed by its cancel.
func TestHandlersThatDontLookAtTheirContextAreFreedByTheCancel(t *testing.T) {
	for name, wait := range map[string]func(http.ResponseWriter, *time.Ticker) error{
		"writes until an error": func(w http.ResponseWriter, tick *time.Ticker) error {
			<-tick.C
			_, err := io.WriteString(w, "data: tick\n\n")
			return err
		},
		"flushes until an error": func(w http.ResponseWriter, tick *time.Ticker) error {
			<-tick.C
			return http.NewResponseController(w).Flush()
		},
		"copies until an error": func(w http.ResponseWriter, tick *time.Ticker) error {
			<-tick.C
			_, err := io.Copy(w, strings.NewReader("data: tick\n\n"))
			return err
		},
		"waits for CloseNotify": func(w http.ResponseWriter, _ *time.Ticker) error {
			//lint:ignore SA1019 gin waits for it
			<-w.(http.CloseNotifier).CloseNotify()
			return stream.ErrDraining
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: time.Second, Mercy: time.Second}}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					w.(http.Flusher).Flush()
					tick := time.NewTicker(300 * time.Millisecond)
					defer tick.Stop()
					for {
						if err := wait(w, tick); err != nil {
							assert.ErrorIs(t, err, stream.ErrDraining)
							return
						}
					}
				}))
				got := r.getAsync("/")
				r.drain()
				_, err := r.end()
				assert.NoError(t, err)
				assert.Less(t, r.since(), 1500*time.Millisecond) // at its next tick; the cut would come after 2 s
				a := <-got
				assert.NoError(t, a.err)
				assert.Regexp(t, `^retry: \d+\nevent: shutdown\ndata: .*\n\n$`, a.body)
				assert.EqualValues(t, 1, d.Report().Told)
			})
		})
	}
}
