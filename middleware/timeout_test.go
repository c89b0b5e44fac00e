package middleware_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
)

// Without a rule an event stream's handler has a moment to hear of the farewell: one that waits for
// its context alone holds up the drain no longer than that.
func TestEventStreamWithoutARuleEndsAMomentAfterItsFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(250 * time.Millisecond)
		assert.Contains(t, (<-got).body, "event: shutdown")
		assert.EqualValues(t, 1, report.Told)
	})
}
