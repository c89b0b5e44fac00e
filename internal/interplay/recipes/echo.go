package recipes

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Echo returns a handler for an http.Server that d.Run serves.
func Echo(d *middleware.Drainer, news, answer echo.HandlerFunc) http.Handler {
	e := echo.New()
	e.Use(echo.WrapMiddleware(middleware.Graceful(d)))
	feeds := e.Group("/feeds", echo.WrapMiddleware(middleware.Graceful(d, policy.TellComeBack())))
	feeds.GET("/news", news)
	// The innermost rule wins: this event stream ends by itself.
	feeds.GET("/answer", answer, echo.WrapMiddleware(middleware.Graceful(d, policy.LetFinish())))
	return e
}
