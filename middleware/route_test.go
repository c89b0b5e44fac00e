package middleware_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// What a client puts into its path forges no line of a log, and no escape sequence reaches a
// terminal, in the log and in the error and in the report. Nor does it name nothing where an outer
// mux has matched everything.
func TestPathsCannotForgeALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&log, nil)), Policy: policy.Rule{Grace: time.Second}}
		release := make(chan struct{})
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			<-release
		})
		r := serve(t, d, mux)
		got := r.getAsync("/a%0A2026/01/01%20FATAL%1B[2J?token=secret")
		r.drain()
		_, err := r.end()
		close(release)
		<-got
		synctest.Wait()
		const want = "GET /a%0A2026/01/01%20FATAL%1B[2J (pattern /)"
		var incomplete *middleware.IncompleteError
		require.True(t, errors.As(err, &incomplete))
		assert.Equal(t, want, incomplete.Running[0].Route)
		assert.ErrorContains(t, err, want)
		assert.Equal(t, want, d.Report().Aborted[0].Route)
		assert.Contains(t, log.String(), fmt.Sprintf("route=%q", want))
		for _, text := range []string{log.String(), err.Error()} {
			assert.NotContains(t, text, "\x1b")
			assert.NotContains(t, text, "\n2026/01/01")
			assert.NotContains(t, text, "secret")
		}
	})
}

// A handler that has written nothing has its pattern in reports where nothing but one ServeMux can
// have matched it, or where a Graceful is inside of that.
func TestPatternBeforeTheHeader(t *testing.T) {
	waits := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, c := range map[string]struct {
		wrap func(d *middleware.Drainer, mux *http.ServeMux) http.Handler
		want string
	}{
		"a ServeMux": {func(d *middleware.Drainer, mux *http.ServeMux) http.Handler {
			mux.Handle("GET /rooms/{id}", waits)
			return middleware.Graceful(d)(mux)
		}, "GET /rooms/{id}"},
		"a ServeMux, and another handler": {func(d *middleware.Drainer, mux *http.ServeMux) http.Handler {
			mux.Handle("GET /rooms/{id}", waits)
			middleware.Graceful(d)(http.NotFoundHandler())
			return middleware.Graceful(d)(mux)
		}, ""},
		"a handler around a ServeMux": {func(d *middleware.Drainer, mux *http.ServeMux) http.Handler {
			mux.Handle("GET /rooms/{id}", waits)
			return middleware.Graceful(d)(http.HandlerFunc(mux.ServeHTTP))
		}, ""},
		"a Graceful inside as well": {func(d *middleware.Drainer, mux *http.ServeMux) http.Handler {
			mux.Handle("GET /rooms/{id}", middleware.Graceful(d)(waits))
			return middleware.Graceful(d)(http.HandlerFunc(mux.ServeHTTP))
		}, "GET /rooms/{id}"},
		"a Graceful inside only": {func(d *middleware.Drainer, mux *http.ServeMux) http.Handler {
			mux.Handle("GET /rooms/{id}", middleware.Graceful(d)(waits))
			return mux
		}, "GET /rooms/{id}"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Grace: policy.AtOnce}}
				r := serveWrapped(t, d, c.wrap(d, http.NewServeMux()))
				done := r.getAsync("/rooms/7?token=secret")
				synctest.Wait()
				page, _ := d.Open(middleware.OpenOptions{})
				assert.Equal(t, c.want, page[0].Pattern)
				assert.Equal(t, c.want, d.Report().Groups[0].Route)
				r.drain()
				<-done
				r.endsAfter(0)
			})
		})
	}
}
