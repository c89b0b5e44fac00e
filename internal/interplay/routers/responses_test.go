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

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// TestRoutersOwnAnswers: what a router answers by itself is the same with a Graceful in any place, or in all of them.
func TestRoutersOwnAnswers(t *testing.T) {
	asked := []struct{ method, path string }{
		{http.MethodGet, path},
		{http.MethodGet, "/nowhere"},
		{http.MethodGet, "/api"},
		{http.MethodGet, "/api/v1/nowhere"},
		{http.MethodGet, path + "/"},
		{http.MethodPost, path},
		{http.MethodOptions, path},
	}
	everywhere := words{}
	for v := theOutside; v <= theRoute; v++ {
		everywhere[v] = policy.Rule{}
	}
	for _, r := range routers {
		t.Run(r.name, func(t *testing.T) {
			var nothing layers // and as much of it as there is middleware otherwise: echo routes by that
			for p := range nothing {
				nothing[p] = []wrap{copying[0].wrap}
			}
			bare := r.serve(nothing, http.HandlerFunc(answers))
			for _, said := range []words{{theOutside: {}}, {theRoot: {}}, {theGroup: {}}, {theSubgroup: {}}, {theRoute: {}}, everywhere} {
				d := said.drainer(roomy)
				graceful := said.around(d, r, copying[0].wrap, answers)
				for _, a := range asked {
					want, got := ask(t, bare, a.method, a.path), ask(t, graceful, a.method, a.path)
					assert.Equal(t, want.Code, got.Code, "%v of %s", said, a)
					assert.Equal(t, want.Body.String(), got.Body.String(), "%v of %s", said, a)
					assert.Equal(t, want.Header(), got.Header(), "%v of %s", said, a)
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

// fails are routes of each router that don't answer but fail, in the way of its users.
var fails = []struct {
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
		r.Use(ginned([]wrap{graceful})...)
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

// TestErrorsComeBack: the errors and panics of handlers go through a Graceful to the router, whose answer gets out.
func TestErrorsComeBack(t *testing.T) {
	usually := log.Writer()
	log.SetOutput(io.Discard) // of chi's Recoverer
	t.Cleanup(func() { log.SetOutput(usually) })
	for _, f := range fails {
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

// get asks over a connection of its own, with pairs of header fields.
func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	assert.NoError(t, err)
	return res, string(body)
}
