package recipes

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
)

// Under each router the feed is told, by the rule of its group, and the answer completes, though it
// is an event stream too.
func TestRouters(t *testing.T) {
	for name, router := range map[string]func(d *middleware.Drainer, drained chan struct{}) http.Handler{
		"gin": func(d *middleware.Drainer, drained chan struct{}) http.Handler {
			return Gin(d, func(c *gin.Context) {
				n := 0
				c.Stream(func(io.Writer) bool {
					c.SSEvent("", words[n%len(words)])
					n++
					return pause(c.Request.Context())
				})
			}, func(c *gin.Context) {
				for n, word := range words {
					c.SSEvent("", word)
					c.Writer.Flush()
					wait(n, drained)
				}
			})
		},
		"echo": func(d *middleware.Drainer, drained chan struct{}) http.Handler {
			return Echo(d, func(c echo.Context) error {
				news(c.Response(), c.Request())
				return nil
			}, func(c echo.Context) error {
				answer(c.Response(), drained)
				return nil
			})
		},
		"chi": func(d *middleware.Drainer, drained chan struct{}) http.Handler {
			return Chi(d, news, func(w http.ResponseWriter, _ *http.Request) { answer(w, drained) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			drained := make(chan struct{})
			d := &middleware.Drainer{}
			s := harness.Serve(t, "127.0.0.1:0", false, router(d, drained), d)
			feed := openEvents(t, s.URL("/feeds/news"))
			reply := openEvents(t, s.URL("/feeds/answer"))
			s.Stop()
			assert.Contains(t, feed.rest(), "event: shutdown\n")
			status, _, err := get(s.URL("/feeds/answer"))
			assert.NoError(t, err)
			assert.Equal(t, http.StatusServiceUnavailable, status, "who comes during the drain is refused")
			close(drained) // the feed is gone, the answer goes on
			assert.Equal(t, 2, strings.Count(reply.rest(), "data:"), "two more words, and no farewell")
			s.Drain(t)
			report := d.Report()
			assert.EqualValues(t, 1, report.Told, "%+v", report)
			assert.EqualValues(t, 1, report.Completed, "%+v", report)
			assert.EqualValues(t, 1, report.Refused, "%+v", report)
		})
	}
}

// answer sends the words and then ends. After the first one it waits for drained.
func answer(w http.ResponseWriter, drained <-chan struct{}) {
	w.Header().Set("Content-Type", "text/event-stream")
	for n, word := range words {
		fmt.Fprintf(w, "data: %s\n\n", word)
		_ = http.NewResponseController(w).Flush()
		wait(n, drained)
	}
}

func wait(n int, drained <-chan struct{}) {
	if n == 0 {
		<-drained
	}
}
