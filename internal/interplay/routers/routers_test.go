package routers

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"github.com/lastcall-go/lastcall/internal/interplay/ginadapter"
)

// wrap is middleware.
type wrap = func(http.Handler) http.Handler

// A place is where middleware may be, from the outermost to the innermost.
type place int

const (
	outside  place = iota // around the router
	root                  // of the whole router
	group                 // of /api
	subgroup              // of /api/v1
	route                 // of GET /api/v1/items/{id} alone
	places
)

// path is what all routers here serve. pattern matches what the client asks for, and rest what is
// left of it where prefixes are stripped.
const (
	path    = "/api/v1/items/7"
	pattern = "GET /api/v1/items/{id}"
	rest    = "GET /items/{id}"
)

// layers is the middleware of each place, the outermost first.
type layers [places][]wrap

// wrap returns h with the middleware of a place around it.
func (l layers) wrap(p place, h http.Handler) http.Handler {
	for i := len(l[p]) - 1; i >= 0; i-- {
		h = l[p][i](h)
	}
	return h
}

// A router serves a handler at path, with middleware in all places.
type router struct {
	name   string
	strips bool // the middleware of a group sees only the rest of the path
	serve  func(l layers, h http.Handler) http.Handler
}

var routers = []router{
	{"ServeMux", false, func(l layers, h http.Handler) http.Handler {
		h = l.wrap(subgroup, mux(pattern, l.wrap(route, h)))
		h = l.wrap(group, mux("/api/v1/", h))
		return l.wrap(root, mux("/api/", h))
	}},
	{"ServeMux, stripped", true, func(l layers, h http.Handler) http.Handler {
		h = l.wrap(subgroup, mux(rest, l.wrap(route, h)))
		h = l.wrap(group, mux("/v1/", http.StripPrefix("/v1", h)))
		return l.wrap(root, mux("/api/", http.StripPrefix("/api", h)))
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
		r.Use(ginadapter.Middleware(l[root]...)...)
		v1 := r.Group("/api", ginadapter.Middleware(l[group]...)...).Group("/v1", ginadapter.Middleware(l[subgroup]...)...)
		v1.GET("/items/:id", append(ginadapter.Middleware(l[route]...), gin.WrapH(h))...)
		return r
	}},
	{"gin, mounted and stripped", true, func(l layers, h http.Handler) http.Handler {
		v1, api, r := gin.New(), gin.New(), gin.New()
		v1.Use(ginadapter.Middleware(l[subgroup]...)...)
		v1.GET("/items/:id", append(ginadapter.Middleware(l[route]...), gin.WrapH(h))...)
		api.Use(ginadapter.Middleware(l[group]...)...)
		api.Any("/v1/*rest", gin.WrapH(http.StripPrefix("/v1", v1)))
		r.Use(ginadapter.Middleware(l[root]...)...)
		r.Any("/api/*rest", gin.WrapH(http.StripPrefix("/api", api)))
		return r
	}},
	{"echo, groups", false, func(l layers, h http.Handler) http.Handler {
		r := echo.New()
		r.Use(echoMiddleware(l[root])...)
		v1 := r.Group("/api", echoMiddleware(l[group])...).Group("/v1", echoMiddleware(l[subgroup])...)
		v1.GET("/items/:id", echo.WrapHandler(h), echoMiddleware(l[route])...)
		return r
	}},
	{"echo, mounted and stripped", true, func(l layers, h http.Handler) http.Handler {
		v1, api, r := echo.New(), echo.New(), echo.New()
		v1.Use(echoMiddleware(l[subgroup])...)
		v1.GET("/items/:id", echo.WrapHandler(h), echoMiddleware(l[route])...)
		api.Use(echoMiddleware(l[group])...)
		api.Any("/v1/*", echo.WrapHandler(http.StripPrefix("/v1", v1)))
		r.Use(echoMiddleware(l[root])...)
		r.Any("/api/*", echo.WrapHandler(http.StripPrefix("/api", api)))
		return r
	}},
}

func mux(pattern string, h http.Handler) http.Handler {
	m := http.NewServeMux()
	m.Handle(pattern, h)
	return m
}

// echoMiddleware returns echo's form of each middleware.
func echoMiddleware(all []wrap) (in []echo.MiddlewareFunc) {
	for _, w := range all {
		in = append(in, echo.WrapMiddleware(w))
	}
	return in
}
