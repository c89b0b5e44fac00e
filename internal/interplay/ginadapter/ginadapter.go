// Package ginadapter uses middleware of net/http in gin, which has no way of its own to do that.
package ginadapter

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// Middleware returns gin's form of each middleware, in the same order.
func Middleware(all ...func(http.Handler) http.Handler) (handlers []gin.HandlerFunc) {
	for _, m := range all {
		handlers = append(handlers, func(c *gin.Context) {
			outer, called := c.Writer, false
			m(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				called = true
				c.Request = r
				if w != http.ResponseWriter(outer) {
					c.Writer = writer{outer, w}
				}
				c.Next()
			})).ServeHTTP(outer, c.Request)
			c.Writer = outer
			if !called {
				c.Abort()
			}
		})
	}
	return handlers
}

// A writer is what gin's handlers write to when middleware has put a writer of its own in front of
// gin's.
type writer struct {
	gin.ResponseWriter
	front http.ResponseWriter
}

func (w writer) Header() http.Header               { return w.front.Header() }
func (w writer) Write(p []byte) (int, error)       { return w.front.Write(p) }
func (w writer) WriteString(s string) (int, error) { return w.front.Write([]byte(s)) }
func (w writer) WriteHeader(code int)              { w.front.WriteHeader(code) }

func (w writer) WriteHeaderNow() {
	w.front.WriteHeader(w.Status())
	w.ResponseWriter.WriteHeaderNow()
}

func (w writer) Flush()                      { _ = http.NewResponseController(w.front).Flush() }
func (w writer) Unwrap() http.ResponseWriter { return w.front }

// CloseNotify returns the channel that gin's Context.Stream waits for.
//
//lint:ignore SA1019 gin uses it
func (w writer) CloseNotify() <-chan bool {
	return w.front.(http.CloseNotifier).CloseNotify()
}
