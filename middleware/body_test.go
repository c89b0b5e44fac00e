package middleware_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
)

// headOf returns the head of h's response to a request over loopback whose body stays incomplete,
// without its Date.
// The server closes with whole, since net/http keeps each connection open for a while.
func headOf(t, whole *testing.T, h http.Handler, request string) string {
	t.Helper()
	srv := httptest.NewServer(h)
	whole.Cleanup(srv.Close)
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = io.WriteString(c, request)
	require.NoError(t, err)
	br, head := bufio.NewReader(c), ""
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := br.ReadString('\n')
		require.NoError(t, err, "after %q", head)
		head += line
		if head == "HTTP/1.1 100 Continue\r\n\r\n" {
			head = ""
		}
	}
	return regexp.MustCompile(`Date: .*\r\n`).ReplaceAllString(head, "")
}

// A body that goes over the limit of an http.MaxBytesReader has net/http close the connection, and
// answer at once where it would wait for the rest of the body. It asks its own writer for that, by
// a method that no wrapper can have.
func TestBodyOverItsLimitClosesTheConnection(t *testing.T) {
	tooLarge := func(w http.ResponseWriter, err error) {
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}
	}
	const length = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n"
	const chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
	some := strings.Repeat("x", 2000)
	form := length + "Content-Type: application/x-www-form-urlencoded\r\n\r\na=" + some
	whole := t
	for name, c := range map[string]struct {
		request string
		handler http.HandlerFunc
		close   bool
	}{
		"read whole": {length + "\r\n" + some, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000))
			tooLarge(w, err)
		}, true},
		"chunked": {chunked + "\r\n7d0\r\n" + some + "\r\n", func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000))
			tooLarge(w, err)
		}, true},
		"no byte allowed": {length + "\r\n" + some, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 0))
			tooLarge(w, err)
		}, true},
		"expecting 100": {length + "Expect: 100-continue\r\n\r\n" + some, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000))
			tooLarge(w, err)
		}, true},
		"a form": {form, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 1000)
			tooLarge(w, r.ParseForm())
		}, true},
		"through a bufio.Reader": {length + "\r\n" + some, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, bufio.NewReaderSize(http.MaxBytesReader(w, r.Body, 1000), 64))
			tooLarge(w, err)
		}, true},
		"JSON, answered otherwise": {length + "\r\n[\"" + some, func(w http.ResponseWriter, r *http.Request) {
			var v any
			if json.NewDecoder(http.MaxBytesReader(w, r.Body, 1000)).Decode(&v) != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
		}, true},
		"on a copy of the request": {length + "\r\n" + some, func(w http.ResponseWriter, r *http.Request) {
			r = r.WithContext(r.Context())
			r.Body = http.MaxBytesReader(w, r.Body, 1000)
			_, err := io.Copy(io.Discard, r.Body)
			tooLarge(w, err)
		}, true},
		"without an answer": {length + "\r\n" + some, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1000))
		}, true},
		"within its limit": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n" + some, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2000))
			assert.NoError(t, err)
			assert.Equal(t, some, string(body))
			_, _ = io.WriteString(w, "good")
		}, false},
		"read in part, without a limit": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n" + some, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 100)[:10])
			w.WriteHeader(http.StatusUnsupportedMediaType)
		}, false},
		"read in part, within its limit": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n" + some, func(w http.ResponseWriter, r *http.Request) {
			body := http.MaxBytesReader(w, r.Body, 1500)
			_, _ = io.ReadFull(body, make([]byte, 100)[:10])
			_, _ = io.ReadFull(body, make([]byte, 100))
			w.WriteHeader(http.StatusUnsupportedMediaType)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bare := headOf(t, whole, c.handler, c.request)
			assert.Equal(t, bare, headOf(t, whole, middleware.Graceful(&middleware.Drainer{})(c.handler), c.request))
			assert.Equal(t, c.close, strings.Contains(bare, "Connection: close"), bare)
		})
	}
}
