package middleware_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// What a handler puts into the header once it has begun the body doesn't go out, and says nothing
// of the body.
func TestHeaderSetBehindTheFirstByteIsIgnored(t *testing.T) {
	for name, value := range map[string]string{"Content-Type": "text/event-stream", "Content-Length": "5"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: 2 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, ": half of it\n\n")
					w.Header().Set(name, value)
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}))
				got := r.getAsync("/")
				r.drain()
				report := r.endsAfter(2 * time.Second)
				a := <-got
				assert.NotEqual(t, value, a.Header.Get(name))
				assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF, "it is not whole")
				assert.Equal(t, ": half of it\n\n", a.body)
				assert.EqualValues(t, 1, report.Cut)
			})
		})
	}
}

func TestInformationalAndBodilessStatuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kinds := make(chan policy.Kind, 1)
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusEarlyHints)
			assert.Equal(t, policy.Auto, stream.From(r.Context()).Kind(), "103 settles nothing")
			w.WriteHeader(http.StatusNoContent)
			kinds <- stream.From(r.Context()).Kind()
		}))
		a := <-r.getAsync("/")
		assert.Equal(t, http.StatusNoContent, a.StatusCode)
		assert.Equal(t, policy.Finite, <-kinds, "a 204 ends with its header, whatever its type")
		r.endsAfter(0)
	})
}

// An event stream with a Content-Length ends by itself, and has no room for a farewell.
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
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(10 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Equal(t, event+event, a.body)
		assert.EqualValues(t, 1, report.Completed)
	})
}

// The handler of a stream runs on for a HEAD too. It ends when the streams do, and not with the
// budget.
func TestHeadOfAStreamEndsAtItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}, ticks(nil))
		res, err := r.client.Head("http://memory/")
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, res.StatusCode)
		r.drain()
		assert.EqualValues(t, 1, r.endsAfter(3*time.Second).Canceled)
	})
}

// The response to a HEAD is complete with its header, so canceling it breaks nothing off.
func TestHeadResponseIsCompleteWithItsHeader(t *testing.T) {
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
		report := r.endsAfter(time.Second)
		assert.NoError(t, (<-got).err)
		assert.EqualValues(t, 1, report.Canceled)
	})
}
