package middleware_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// What a handler makes of its request's method changes nothing of the response:
// net/http goes by the method that came.
func TestMethodThatTheHandlerChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: 2 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Method = http.MethodHead
			_, _ = io.WriteString(w, "half of it")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(2 * time.Second)
		a := <-got
		assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF, "it is not whole")
		assert.EqualValues(t, 1, report.Cut)
	})
}
