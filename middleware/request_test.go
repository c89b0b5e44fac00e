package middleware_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// What the handler learned of its copy of the request, middleware around Graceful sees.
func TestPatternAndFormAreCopiedBack(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /form/{id}", func(_ http.ResponseWriter, r *http.Request) { assert.NoError(t, r.ParseForm()) })
	r := httptest.NewRequest(http.MethodPost, "/form/1?a=b", strings.NewReader("c=d"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	middleware.Graceful(&middleware.Drainer{})(mux).ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, "POST /form/{id}", r.Pattern)
	assert.Equal(t, url.Values{"a": {"b"}, "c": {"d"}}, r.Form)
	assert.Equal(t, url.Values{"c": {"d"}}, r.PostForm)
}

func TestPatternOfAWebSocketIsCopiedBack(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/http1", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		assert.NoError(t, err)
		assert.NoError(t, conn.Close())
	})
	mux.HandleFunc("/http2", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	h := middleware.Graceful(&middleware.Drainer{})(mux)

	r := httptest.NewRequest(http.MethodGet, "/http1", nil)
	r.Header.Set("Upgrade", "websocket")
	h.ServeHTTP(&hijackable{header: http.Header{}, conn: newSink()}, r)
	assert.Equal(t, "/http1", r.Pattern)

	r = httptest.NewRequest(http.MethodConnect, "/http2", nil)
	r.Header[":protocol"] = []string{"websocket"}
	h.ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, "/http2", r.Pattern)
}

// net/http removes the temporary files of the multipart form that it finds in its own request.
func TestTemporaryFilesOfAMultipartFormAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir) // of Unix
	t.Setenv("TMP", dir)    // of Windows
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	file, err := parts.CreateFormFile("file", "name")
	require.NoError(t, err)
	_, err = io.WriteString(file, "content")
	require.NoError(t, err)
	require.NoError(t, parts.Close())
	temporary := func() []os.DirEntry {
		files, err := os.ReadDir(dir)
		assert.NoError(t, err)
		return files
	}
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			assert.NoError(t, r.ParseMultipartForm(1)) // more than one byte goes into a file
			assert.Len(t, temporary(), 1)
		}))
		res, err := r.client.Post("http://memory/", parts.FormDataContentType(), &form)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		synctest.Wait()
		assert.Empty(t, temporary())
		r.endsAfter(0)
	})
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
