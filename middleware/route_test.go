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
