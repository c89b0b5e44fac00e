package sse

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/draintest"
)

// TestDrill drills each library as it should be used: closed when no request is served any more. In
// a bubble the pauses between two events take no time.
func TestDrill(t *testing.T) {
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			draintest.Drill(t, func(tb testing.TB, _ *middleware.Drainer) http.Handler {
				s := l.start(t)
				tb.Cleanup(s.close)
				if s.publish == nil {
					return unhurried(s)
				}
				quit := make(chan struct{})
				var publisher sync.WaitGroup
				publisher.Go(func() {
					tick := time.NewTicker(time.Second)
					defer tick.Stop()
					for n := 0; ; n++ {
						select {
						case <-tick.C:
							s.publish(n, payload(n, 100))
						case <-quit:
							return
						}
					}
				})
				tb.Cleanup(func() {
					close(quit)
					publisher.Wait()
				})
				return s
			}, "/?stream=s")
		})
	}
}

// unhurried returns h with a pause in front of each flush, which may be within an event. Without it
// h would write a million events in the minutes that a drill looks at it.
func unhurried(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(unhurriedWriter{w, r.Context()}, r)
	})
}

type unhurriedWriter struct {
	http.ResponseWriter
	ctx context.Context
}

func (w unhurriedWriter) FlushError() error {
	timer := time.NewTimer(10 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.ctx.Done():
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// TestDrillOfGinStream drills gin's Context.Stream. It looks whether the client has left between
// two steps only, so that a step which waits for the next event has to look itself.
func TestDrillOfGinStream(t *testing.T) {
	streaming := func(looks bool) func(testing.TB, *middleware.Drainer) http.Handler {
		return func(tb testing.TB, _ *middleware.Drainer) http.Handler {
			news := make(chan string)
			tb.Cleanup(func() { close(news) }) // ends the handler, once it is known to be late
			engine := gin.New()
			engine.GET("/events", func(c *gin.Context) {
				c.SSEvent("", "hello")
				c.Writer.Flush()
				c.Stream(func(io.Writer) bool {
					var done <-chan struct{}
					if looks {
						done = c.Request.Context().Done()
					}
					select {
					case text, ok := <-news:
						c.SSEvent("", text)
						return ok
					case <-done:
						return false
					}
				})
			})
			return engine
		}
	}
	assert.Empty(t, draintest.Check(t, streaming(true), "/events"))
	found := draintest.Check(t, streaming(false), "/events")
	if assert.NotEmpty(t, found) {
		assert.Equal(t, "1.1", found[0].Rule)
		assert.True(t, strings.Contains(found[0].Text, "TestDrillOfGinStream"), found[0].Text)
	}
}
