package middleware_test

import (
	"context"
	"fmt"
	"io"
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

// The handler's Tag has precedence over the rule's kind, and that over what the header shows.
func TestTagOutranksRuleAndRuleOutranksHeader(t *testing.T) {
	const events, plain = "text/event-stream", "text/plain"
	for _, c := range []struct {
		contentType string
		tag, rule   policy.Kind
		want        policy.Kind
	}{
		{plain, policy.Auto, policy.Auto, policy.Finite},
		{events, policy.Auto, policy.Auto, policy.Infinite},
		{"multipart/x-mixed-replace; boundary=b", policy.Auto, policy.Auto, policy.Infinite},
		{"application/x-ndjson", policy.Auto, policy.Auto, policy.Finite},
		{events, policy.Auto, policy.Finite, policy.Finite},
		{plain, policy.Auto, policy.Infinite, policy.Infinite},
		{events, policy.Finite, policy.Infinite, policy.Finite},
		{plain, policy.Infinite, policy.Finite, policy.Infinite},
	} {
		t.Run(fmt.Sprint(c.contentType, " tag ", c.tag, " rule ", c.rule), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var kind policy.Kind
				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Kind: c.rule}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c.tag != policy.Auto {
						stream.Tag(r.Context(), c.tag)
					}
					w.Header().Set("Content-Type", c.contentType)
					w.WriteHeader(http.StatusOK)
					kind = stream.From(r.Context()).Kind()
				}))
				<-r.getAsync("/")
				r.endsAfter(0)
				assert.Equal(t, c.want, kind)
			})
		})
	}
}

// A handler that tags its response finite while the farewell waits for the end of an event isn't
// told, and loses no byte.
func TestTagFiniteWhileTheFarewellWaitsTakesItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: a\n")
			w.(http.Flusher).Flush()
			time.Sleep(time.Second) // asked for here
			stream.Tag(r.Context(), policy.Finite)
			_, _ = io.WriteString(w, "\ndata: b\n\n")
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(time.Second)
		assert.Equal(t, "data: a\n\ndata: b\n\n", (<-got).body)
		assert.EqualValues(t, 1, report.Completed)
	})
}

// A handler that tags its response finite while the farewell waits for the end of an event has all
// the time of a finite one.
func TestTagFiniteWhileTheFarewellWaitsPutsTheCancelOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: tok")
			w.(http.Flusher).Flush()
			time.Sleep(time.Second) // asked for here
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(9 * time.Second) // a stream would be canceled at 3 s
			assert.NoError(t, r.Context().Err())
			_, _ = io.WriteString(w, "en\n\n")
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(10 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Equal(t, "data: token\n\n", a.body)
		assert.EqualValues(t, 1, report.Completed)
	})
}

// A Tag can't take back a farewell that has been written, nor put off the cancel that follows it.
func TestTagFiniteAfterTheFarewellChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-stream.Draining(r.Context())
			stream.Tag(r.Context(), policy.Finite)
			<-r.Context().Done()
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(3 * time.Second)
		assert.NoError(t, (<-got).err)
		assert.EqualValues(t, 1, report.Told)
	})
}

// A stream that is tagged finite while the farewell of a Shed waits for the end of an event is not
// told, not even when it is a stream again, until the next drain.
func TestTagFiniteTakesBackTheFarewellOfAShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 10 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			startEvents(w, hello+"data: half")
			time.Sleep(time.Second)
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(time.Second)
			stream.Tag(r.Context(), policy.Auto)
			_, _ = io.WriteString(w, "\n\n")
			select {
			case <-r.Context().Done():
			case <-time.NewTimer(time.Hour).C:
				_, _ = io.WriteString(w, "data: goes on\n\n")
			}
		}))
		first := r.watch("/first")
		shed, err := d.Shed(context.Background(), middleware.ShedOptions{N: 1})
		require.NoError(t, err)
		assert.Zero(t, shed, "it let its only one off")
		assert.Equal(t, "data: half\n\ndata: goes on\n\n", (<-first).text)

		second := r.watch("/second")
		_, err = d.Shed(context.Background(), middleware.ShedOptions{N: 1})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		r.drain()
		r.endsAfter(10 * time.Second)
		assert.Regexp(t, `^data: half\n\nretry: \d+\nevent: shutdown\n`, (<-second).text, "the next drain tells it")
	})
}

// A stream that is tagged finite after it was told at its MaxAge, and upgrades to a WebSocket then,
// gets no close frame.
func TestTagFiniteBeforeTheUpgradeTakesBackTheFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, MaxAge: 10 * time.Second, Timeout: 10 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-stream.Draining(r.Context())
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(time.Second)
			echo(&store{t: t})(w, r)
		}))
		socket := r.dial("/")
		synctest.Wait()
		require.NoError(t, socket.WriteMessage(websocket.TextMessage, []byte("still here")))
		_, message, err := socket.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, "still here", string(message))
		require.NoError(t, socket.Close())
		synctest.Wait()
		assert.EqualValues(t, 1, d.Report().Before.Completed)
		r.drain()
		r.endsAfter(0)
	})
}

// A stream that is tagged finite while its OnFarewell function runs gets no farewell, and its
// Draining channel stays open.
func TestTagFiniteDuringOnFarewellKeepsDrainingOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked := make(chan struct{})
			stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell {
				close(asked)
				time.Sleep(time.Second)
				return policy.Farewell{}
			})
			startEvents(w, hello)
			<-asked
			stream.Tag(r.Context(), policy.Finite)
			select {
			case <-stream.Draining(r.Context()):
			case <-time.NewTimer(time.Hour).C:
				_, _ = io.WriteString(w, "data: done\n\n")
			}
		}))
		answer := r.watch("/")
		_, err := d.Shed(context.Background(), middleware.ShedOptions{N: 1})
		require.NoError(t, err)
		assert.Equal(t, "data: done\n\n", (<-answer).text)
		r.drain()
		r.endsAfter(0)
	})
}

// A farewell that was pending when a Tag took it back isn't written in a later drain before the
// stream's slot: what its handler writes until then would be swallowed.
func TestPendingFarewellThatIsTakenBackWaitsForItsNextSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: 10 * time.Second, Timeout: time.Second}}
		next := make(chan func(context.Context, http.ResponseWriter))
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			startEvents(w, "data: half")
			for {
				select {
				case do := <-next:
					do(r.Context(), w)
				case <-r.Context().Done():
					return
				}
			}
		}))
		tag := func(k policy.Kind) {
			next <- func(ctx context.Context, _ http.ResponseWriter) { stream.Tag(ctx, k) }
			synctest.Wait()
		}
		write := func(s string) {
			next <- func(_ context.Context, w http.ResponseWriter) { _, _ = io.WriteString(w, s); w.(http.Flusher).Flush() }
			synctest.Wait()
		}
		var ended error
		got := lines(r.open("/").Body, &ended)
		shed := make(chan middleware.ShedResult)
		go func() {
			result, err := d.Shed(context.Background(), middleware.ShedOptions{N: 1, Rule: policy.Rule{Farewell: policy.Farewell{Data: "move"}}})
			assert.NoError(t, err)
			shed <- result
		}()
		synctest.Wait()
		tag(policy.Finite)
		assert.Zero(t, <-shed)
		tag(policy.Infinite)
		r.drain()
		write(" and half\n\n")
		assert.Equal(t, "data: half and half", <-got)
		assert.Equal(t, "", <-got)
		assert.Regexp(t, "retry: .*", <-got)
		assert.Equal(t, 10*time.Second, r.since())
		for range got {
		}
		assert.NoError(t, ended)
		assert.EqualValues(t, 1, r.endsAfter(11*time.Second).Told)
	})
}
