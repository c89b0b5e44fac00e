package middleware_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// What the handler learned of its copy of the request, middleware around Graceful sees.
func TestPatternAndFormAreCopiedBack(t *testing.T) {
	d := &middleware.Drainer{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /form/{id}", func(_ http.ResponseWriter, r *http.Request) { _ = r.ParseForm() })
	r := httptest.NewRequest(http.MethodPost, "/form/1?a=b", nil)
	middleware.Graceful(d)(mux).ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, "POST /form/{id}", r.Pattern)
	assert.Equal(t, "b", r.Form.Get("a"))
}

// What a handler makes of its request's method changes nothing of the response: net/http goes by
// the method that came.
func TestMethodThatTheHandlerChangesChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: 2 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Method = http.MethodHead
			_, _ = io.WriteString(w, "half of it")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(2 * time.Second)
		a := <-got
		assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF, "it is not whole")
		assert.EqualValues(t, 1, report.Cut)
	})
}
