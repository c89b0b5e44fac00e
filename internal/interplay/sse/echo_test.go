package sse

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
)

// TestEchoResponseController has http.ResponseController find through echo's response, with a
// Graceful around echo or inside of it, what net/http's writer can do.
func TestEchoResponseController(t *testing.T) {
	for _, p := range protocols {
		for _, r := range routers {
			if r.name != "around echo" && r.name != "inside echo" {
				continue
			}
			t.Run(r.name+"/"+p.name, func(t *testing.T) {
				d := new(middleware.Drainer)
				e := echo.New()
				h := http.Handler(e)
				if r.name == "inside echo" {
					e.Use(echo.WrapMiddleware(middleware.Graceful(d)))
				} else {
					h = middleware.Graceful(d)(e)
				}
				e.GET("/", func(c echo.Context) error {
					control := http.NewResponseController(c.Response())
					assert.NoError(t, control.SetWriteDeadline(time.Now().Add(harness.Timeout)))
					assert.NoError(t, control.SetReadDeadline(time.Now().Add(harness.Timeout)))
					assert.NoError(t, control.EnableFullDuplex())
					assert.NoError(t, control.Flush())
					if _, err := io.WriteString(c.Response(), "ok"); err != nil {
						return err
					}
					if p.major == 1 {
						return nil
					}
					_, _, err := control.Hijack()
					assert.ErrorIs(t, err, http.ErrNotSupported)
					return nil
				})
				s := serve(t, p, h)
				res, err := s.get()
				require.NoError(t, err)
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				assert.NoError(t, err)
				assert.Equal(t, "200 ok", fmt.Sprint(res.StatusCode, " ", string(body)))
				s.close()
			})
		}
	}
}
