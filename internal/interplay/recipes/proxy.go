package recipes

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/stream"
)

// Proxy returns a handler that passes everything on to backend, streams and WebSockets too.
func Proxy(d *middleware.Drainer, backend *url.URL) http.Handler {
	return middleware.Graceful(d)(&httputil.ReverseProxy{
		// FlushInterval: event streams are flushed at once without it.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(backend)
			r.SetXForwarded()
			if strings.Contains(r.In.Header.Get("Accept"), "text/event-stream") {
				// No farewell can be written into a compressed stream.
				r.Out.Header.Set("Accept-Encoding", "identity")
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(context.Cause(r.Context()), stream.ErrDraining) {
				return // before the backend's answer: it becomes a 503 with Retry-After
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	})
}
