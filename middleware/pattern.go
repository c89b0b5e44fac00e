package middleware

import (
	"net/http"
	"net/url"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
)

// A ServeMux writes the pattern that it matched into the handler's request, where nobody else may
// look while the handler runs. So a response takes it over with its header, or at its end. Until
// then reports ask the ServeMux themselves, where there is only one that it can be.

// wraps notes a handler that a Graceful of d wraps.
func (d *Drainer) wraps(next http.Handler) {
	mux, _ := next.(*http.ServeMux)
	if d.handlers.Add(1) > 1 {
		mux = nil
	}
	d.onlyMux.Store(mux)
}

// findPattern finds the pattern of a response that has none yet.
func (d *Drainer) findPattern(r *tracked.Response) {
	mux := d.onlyMux.Load()
	if mux == nil || r.Pattern() != "" || r.Format() == format.Task {
		return
	}
	in := r.Request()
	target, err := url.ParseRequestURI(in.RequestURI) // not in.URL, which handlers may change
	if err != nil {
		return
	}
	_, pattern := mux.Handler(&http.Request{Method: in.Method, Host: in.Host, URL: target})
	r.SetPatternIfUnknown(pattern)
}
