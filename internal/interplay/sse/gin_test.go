package sse

import (
	"io"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/ginadapter"
	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// TestGinStream drains a handler that uses gin's Context.Stream, which panics unless the writer
// inside of gin's is an http.CloseNotifier.
func TestGinStream(t *testing.T) {
	for _, p := range protocols {
		for name, in := range map[string]func(graceful wrap, stream gin.HandlerFunc) http.Handler{
			"around gin": func(graceful wrap, stream gin.HandlerFunc) http.Handler {
				r := gin.New()
				r.GET("/", stream)
				return graceful(r)
			},
			"inside gin": func(graceful wrap, stream gin.HandlerFunc) http.Handler {
				r := gin.New()
				r.GET("/", append(ginadapter.Middleware(graceful), stream)...)
				return r
			},
		} {
			t.Run(name+"/"+p.name, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Mercy: mercy}}
				s := serve(t, p, in(middleware.Graceful(d), func(c *gin.Context) {
					n := 0
					c.Stream(func(w io.Writer) bool {
						c.SSEvent("", payload(n, 0))
						n++
						return c.Request.Context().Err() == nil
					})
				}))
				res, err := s.get()
				require.NoError(t, err)
				defer res.Body.Close()
				require.Equal(t, http.StatusOK, res.StatusCode)
				m := newCountdown(0, 20)
				over := make(chan ending, 1)
				go func() {
					e, err := readStream(res.Body, func() { m.count(0, 1) })
					assert.NoError(t, err)
					m.stop()
					over <- e
				}()
				m.wait(t)
				report := harness.Shutdown(t, d)
				assert.True(t, (<-over).told)
				assert.EqualValues(t, 1, report.Told, "%+v", report)
				s.close()
			})
		}
	}
}
