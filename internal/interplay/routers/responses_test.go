package routers

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/ginadapter"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// TestRouterResponses compares what a router responds, also to paths and methods that it doesn't
// have, with a Graceful at any place, at all of them and at none.
func TestRouterResponses(t *testing.T) {
	asked := []struct{ method, path string }{
		{http.MethodGet, path},
		{http.MethodGet, "/nowhere"},
		{http.MethodGet, "/api"},
		{http.MethodGet, "/api/v1/nowhere"},
		{http.MethodGet, path + "/"},
		{http.MethodPost, path},
		{http.MethodOptions, path},
	}
	everywhere := rules{}
	for v := fromOutside; v <= fromRoute; v++ {
		everywhere[v] = policy.Rule{}
	}
	for _, r := range routers {
		t.Run(r.name, func(t *testing.T) {
			var none layers // of middleware that does nothing, since echo routes differently without any
			for p := range none {
				none[p] = []wrap{rewrites[0].wrap}
			}
			bare := r.serve(none, http.HandlerFunc(answers))
			for _, sources := range []rules{{fromOutside: {}}, {fromRoot: {}}, {fromGroup: {}}, {fromSubgroup: {}}, {fromRoute: {}}, everywhere} {
				d := sources.drainer(longBudget)
				graceful := sources.serve(d, r, rewrites[0].wrap, answers)
				for _, a := range asked {
					want, got := ask(t, bare, a.method, a.path), ask(t, graceful, a.method, a.path)
					assert.Equal(t, want.Code, got.Code, "%v of %s", sources, a)
					assert.Equal(t, want.Body.String(), got.Body.String(), "%v of %s", sources, a)
					assert.Equal(t, want.Header(), got.Header(), "%v of %s", sources, a)
				}
				assert.Zero(t, d.Report().Open.All())
			}
		})
	}
}

func answers(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, "item")
}

var errTea = errors.New("tea")

// failures are routes of each router that panic, return an error or abort.
var failures = []struct {
	name  string
	serve func(graceful wrap) http.Handler
}{
	{"chi", func(graceful wrap) http.Handler {
		r := chi.NewRouter()
		r.Use(chimiddleware.Recoverer, graceful)
		r.Get("/panics", func(http.ResponseWriter, *http.Request) { panic(errTea) })
		return r
	}},
	{"gin", func(graceful wrap) http.Handler {
		r := gin.New()
		r.Use(gin.RecoveryWithWriter(io.Discard))
		r.Use(ginadapter.Middleware(graceful)...)
		r.GET("/panics", func(*gin.Context) { panic(errTea) })
		r.GET("/aborts", func(c *gin.Context) { c.AbortWithStatus(http.StatusTeapot) })
		r.GET("/says", func(c *gin.Context) { c.AbortWithStatusJSON(http.StatusTeapot, gin.H{"error": "tea"}) })
		return r
	}},
	{"echo", func(graceful wrap) http.Handler {
		r := echo.New()
		r.Logger.SetOutput(io.Discard)
		r.Use(echomiddleware.Recover(), echo.WrapMiddleware(graceful))
		r.GET("/panics", func(echo.Context) error { panic(errTea) })
		r.GET("/fails", func(echo.Context) error { return errTea })
		r.GET("/says", func(echo.Context) error { return echo.NewHTTPError(http.StatusTeapot, "tea") })
		r.GET("/both", func(c echo.Context) error {
			return errors.Join(c.String(http.StatusOK, "coffee"), errTea)
		})
		return r
	}},
}

// TestErrorsAndPanics compares the responses of routers to errors and panics of handlers, which
// have to reach the router through a Graceful.
func TestErrorsAndPanics(t *testing.T) {
	writer := log.Writer()
	log.SetOutput(io.Discard) // of chi's Recoverer
	t.Cleanup(func() { log.SetOutput(writer) })
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			d := new(middleware.Drainer)
			bare := httptest.NewServer(f.serve(func(h http.Handler) http.Handler { return h }))
			defer bare.Close()
			graceful := httptest.NewServer(f.serve(middleware.Graceful(d)))
			defer graceful.Close()
			for _, path := range []string{"/panics", "/aborts", "/says", "/fails", "/both", "/nowhere"} {
				want, wantBody := get(t, bare.URL+path)
				got, body := get(t, graceful.URL+path)
				assert.Equal(t, want.StatusCode, got.StatusCode, path)
				assert.Equal(t, wantBody, body, path)
				want.Header.Del("Date")
				got.Header.Del("Date")
				assert.Equal(t, want.Header, got.Header, path)
			}
			assert.EqualValues(t, 6, d.Report().Before.Completed)
		})
	}
}

// get sends a request with pairs of header fields, on a connection of its own.
func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	res := open(t, url, header...)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	assert.NoError(t, err)
	return res, string(body)
}

// open is get, but leaves the body to be read and closed.
func open(t *testing.T, url string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	require.NoError(t, err)
	return res
}
