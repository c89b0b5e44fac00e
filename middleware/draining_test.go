package middleware_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func TestDrainingWakesALongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-stream.Draining(r.Context()):
				_, _ = io.WriteString(w, "nothing yet, come again")
			case <-r.Context().Done():
			}
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(0)
		a := <-got
		assert.Equal(t, "nothing yet, come again", a.body)
		assert.True(t, a.Close, "Connection: close")
		assert.EqualValues(t, 1, report.Completed)
	})
}

func TestDeadlineIsTheMomentOfTheCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, ok := stream.Deadline(r.Context())
			assert.False(t, ok, "before the drain")
			<-stream.Draining(r.Context())
			at, ok := stream.Deadline(r.Context())
			assert.True(t, ok)
			<-r.Context().Done()
			assert.Equal(t, at, time.Now())
		}))
		got := r.getAsyncWith("/")
		r.drain()
		r.endsAfter(22 * time.Second) // 25 s less 2 s in reserve less 1 s from cancel to cut
		assert.Equal(t, http.StatusServiceUnavailable, (<-got).StatusCode)
	})
}

// The handler of a stream that returns when its Draining channel is closed need not wait for its
// cancel.
func TestStreamThatListensToDrainingEndsAtItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-stream.Draining(r.Context())
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(time.Second)
		assert.Contains(t, (<-got).body, "event: shutdown", "the farewell came first")
		assert.EqualValues(t, 1, report.Told)
	})
}

// A response that shows itself as a stream only after the drain told it as a finite one has its own
// slot still to come, and a Draining channel that is closed then.
func TestStreamThatShowsItselfInADrainHearsOfItsOwnSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond) // for the drain to hear of it
			<-stream.Draining(r.Context())
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(time.Second)
		assert.Contains(t, (<-got).body, "event: shutdown")
		assert.EqualValues(t, 1, report.Told)
	})
}

// A handler that waits for its Draining channel before it writes a header is told as a finite
// response. When it shows then that it is an event stream, it gets its farewell all the same, and
// the channel, which can't be opened again, stays closed.
func TestStreamThatShowsItselfBehindDrainingGetsItsFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			draining := stream.Draining(r.Context())
			<-draining
			time.Sleep(time.Second)
			startEvents(w, hello)
			<-r.Context().Done()
			<-draining
			<-stream.Draining(r.Context())
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(3 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Regexp(t, `^data: hello\n\nretry: \d+\nevent: shutdown\ndata: .*\n\n$`, a.body)
		assert.EqualValues(t, 1, report.Told)
	})
}
