package routers

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"
)

// wrap is middleware.
type wrap = func(http.Handler) http.Handler

// A place is where middleware may stand, from the outermost to the innermost.
type place int

const (
	outside  place = iota // around the router, for whom it is any handler
	root                  // what the whole router uses
	group                 // what /api uses
	subgroup              // what /api/v1 uses
	route                 // what GET /api/v1/items/{id} alone uses
	places
)

// path is what all routers here serve, and pattern matches it as a client asks for it.
const (
	path    = "/api/v1/items/7"
	pattern = "GET /api/v1/items/{id}"
	rest    = "GET /items/{id}" // where the prefixes are stripped
)

// layers is the middleware of each place, the outermost first.
type layers [places][]wrap

func (l layers) around(p place, h http.Handler) http.Handler {
	for i := len(l[p]) - 1; i >= 0; i-- {
		h = l[p][i](h)
	}
	return h
}

// A router serves a handler at path, with middleware in all places.
type router struct {
	name   string
	strips bool // a group's middleware sees the rest of the path only
	serve  func(l layers, h http.Handler) http.Handler
}

var routers = []router{
	{"ServeMux", false, func(l layers, h http.Handler) http.Handler {
		h = l.around(subgroup, mux(pattern, l.around(route, h)))
		h = l.around(group, mux("/api/v1/", h))
		return l.around(root, mux("/api/", h))
	}},
	{"ServeMux, stripped", true, func(l layers, h http.Handler) http.Handler {
		h = l.around(subgroup, mux(rest, l.around(route, h)))
		h = l.around(group, mux("/v1/", http.StripPrefix("/v1", h)))
		return l.around(root, mux("/api/", http.StripPrefix("/api", h)))
	}},
	{"chi, routes", false, func(l layers, h http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Use(l[root]...)
		r.Route("/api", func(r chi.Router) {
			r.Use(l[group]...)
			r.Route("/v1", func(r chi.Router) {
				r.Use(l[subgroup]...)
				r.With(l[route]...).Method(http.MethodGet, "/items/{id}", h)
			})
		})
		return r
	}},
	{"chi, groups", false, func(l layers, h http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Use(l[root]...)
		r.Group(func(r chi.Router) {
			r.Use(l[group]...)
			r.Group(func(r chi.Router) {
				r.Use(l[subgroup]...)
				r.With(l[route]...).Method(http.MethodGet, path, h)
			})
		})
		return r
	}},
	{"chi, mounted and stripped", true, func(l layers, h http.Handler) http.Handler {
		v1, api, r := chi.NewRouter(), chi.NewRouter(), chi.NewRouter()
		v1.Use(l[subgroup]...)
		v1.With(l[route]...).Method(http.MethodGet, "/items/{id}", h)
		api.Use(l[group]...)
		api.Mount("/v1", http.StripPrefix("/v1", v1))
		r.Use(l[root]...)
		r.Mount("/api", http.StripPrefix("/api", api))
		return r
	}},
	{"gin, groups", false, func(l layers, h http.Handler) http.Handler {
		r := gin.New()
		r.HandleMethodNotAllowed = true
		r.Use(ginned(l[root])...)
		v1 := r.Group("/api", ginned(l[group])...).Group("/v1", ginned(l[subgroup])...)
		v1.GET("/items/:id", append(ginned(l[route]), gin.WrapH(h))...)
		return r
	}},
	{"gin, mounted and stripped", true, func(l layers, h http.Handler) http.Handler {
		v1, api, r := gin.New(), gin.New(), gin.New()
		v1.Use(ginned(l[subgroup])...)
		v1.GET("/items/:id", append(ginned(l[route]), gin.WrapH(h))...)
		api.Use(ginned(l[group])...)
		api.Any("/v1/*rest", gin.WrapH(http.StripPrefix("/v1", v1)))
		r.Use(ginned(l[root])...)
		r.Any("/api/*rest", gin.WrapH(http.StripPrefix("/api", api)))
		return r
	}},
	{"echo, groups", false, func(l layers, h http.Handler) http.Handler {
		r := echo.New()
		r.Use(echoed(l[root])...)
		v1 := r.Group("/api", echoed(l[group])...).Group("/v1", echoed(l[subgroup])...)
		v1.GET("/items/:id", echo.WrapHandler(h), echoed(l[route])...)
		return r
	}},
	{"echo, mounted and stripped", true, func(l layers, h http.Handler) http.Handler {
		v1, api, r := echo.New(), echo.New(), echo.New()
		v1.Use(echoed(l[subgroup])...)
		v1.GET("/items/:id", echo.WrapHandler(h), echoed(l[route])...)
		api.Use(echoed(l[group])...)
		api.Any("/v1/*", echo.WrapHandler(http.StripPrefix("/v1", v1)))
		r.Use(echoed(l[root])...)
		r.Any("/api/*", echo.WrapHandler(http.StripPrefix("/api", api)))
		return r
	}},
}

func mux(pattern string, h http.Handler) http.Handler {
	m := http.NewServeMux()
	m.Handle(pattern, h)
	return m
}

// echoed is echo's own way to use middleware of net/http.
func echoed(all []wrap) (in []echo.MiddlewareFunc) {
	for _, w := range all {
		in = append(in, echo.WrapMiddleware(w))
	}
	return in
}

// ginned uses middleware of net/http in gin, which has no way of its own to.
func ginned(all []wrap) (in []gin.HandlerFunc) {
	for _, w := range all {
		in = append(in, func(c *gin.Context) {
			outer, passed := c.Writer, false
			w(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				passed = true
				c.Request = r
				if w != http.ResponseWriter(outer) {
					c.Writer = ginWriter{outer, w}
				}
				c.Next()
			})).ServeHTTP(outer, c.Request)
			c.Writer = outer
			if !passed {
				c.Abort()
			}
		})
	}
	return in
}

// A ginWriter is what gin's handlers write to where middleware has put a writer of its own in front of gin's.
type ginWriter struct {
	gin.ResponseWriter
	front http.ResponseWriter
}

func (w ginWriter) Header() http.Header               { return w.front.Header() }
func (w ginWriter) Write(p []byte) (int, error)       { return w.front.Write(p) }
func (w ginWriter) WriteString(s string) (int, error) { return w.front.Write([]byte(s)) }
func (w ginWriter) WriteHeader(code int)              { w.front.WriteHeader(code) }
func (w ginWriter) WriteHeaderNow() {
	w.front.WriteHeader(w.Status())
	w.ResponseWriter.WriteHeaderNow()
}
func (w ginWriter) Flush()                      { _ = http.NewResponseController(w.front).Flush() }
func (w ginWriter) Unwrap() http.ResponseWriter { return w.front }
