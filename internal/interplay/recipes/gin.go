package recipes

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Gin returns a handler for an http.Server that d.Run serves.
func Gin(d *middleware.Drainer, news, answer gin.HandlerFunc) http.Handler {
	engine := gin.New()
	feeds := engine.Group("/feeds", use(middleware.Graceful(d, policy.TellComeBack())))
	feeds.GET("/news", news)
	// The innermost rule wins: this event stream ends by itself.
	feeds.GET("/answer", use(middleware.Graceful(d, policy.LetFinish())), answer)
	return middleware.Graceful(d)(engine) // around the engine, for all routes
}

// use is gin's form of a Graceful that gives a group or a route its rule. It hands on the request
// alone, not the writer through which the drain speaks, so that there has to be a Graceful around
// the engine too.
func use(graceful func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		called := false
		graceful(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			called = true
			c.Request = r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !called {
			c.Abort()
		}
	}
}
