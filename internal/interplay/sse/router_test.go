package sse

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"
)

// wrap is middleware.
type wrap = func(http.Handler) http.Handler

// A router serves a handler at /, with graceful around the router or inside of it.
type router struct {
	name string
	with func(graceful wrap, h http.Handler) http.Handler
}

var routers = []router{
	{"no router", func(graceful wrap, h http.Handler) http.Handler { return graceful(h) }},
	{"around chi", func(graceful wrap, h http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Method(http.MethodGet, "/", h)
		return graceful(r)
	}},
	{"inside chi", func(graceful wrap, h http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Use(graceful)
		r.Method(http.MethodGet, "/", h)
		return r
	}},
	{"around gin", func(graceful wrap, h http.Handler) http.Handler {
		r := gin.New()
		r.GET("/", gin.WrapH(h))
		return graceful(r)
	}},
	{"inside gin", func(graceful wrap, h http.Handler) http.Handler {
		r := gin.New()
		r.GET("/", gin.WrapH(graceful(h)))
		return r
	}},
	{"around echo", func(graceful wrap, h http.Handler) http.Handler {
		r := echo.New()
		r.GET("/", echo.WrapHandler(h))
		return graceful(r)
	}},
	{"inside echo", func(graceful wrap, h http.Handler) http.Handler {
		r := echo.New()
		r.Use(echo.WrapMiddleware(graceful))
		r.GET("/", echo.WrapHandler(h))
		return r
	}},
}
