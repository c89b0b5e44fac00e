package middleware

import (
	"net/http"
	"net/url"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

// A ServeMux writes the pattern that it matched into the handler's request, which nobody else may
// read while the handler runs. So a response takes it over with its header, or at its end. Until
// then reports ask the ServeMux themselves, if it is the only handler that d's Gracefuls wrap.

// noteHandler records a handler that a Graceful of d wraps.
func (d *Drainer) noteHandler(next http.Handler) {
	mux, _ := next.(*http.ServeMux)
	if d.handlers.Add(1) > 1 {
		mux = nil
	}
	d.onlyMux.Store(mux)
}

// findPattern asks the only ServeMux for the pattern of a response that has none yet, and reports
// whether there is one.
func (d *Drainer) findPattern(r *tracked.Response) (found bool) {
	mux := d.onlyMux.Load()
	if mux == nil {
		return false
	}
	in := r.Request()
	target, err := url.ParseRequestURI(in.RequestURI) // not in.URL, which handlers may change
	if err != nil {
		return false
	}
	_, pattern := mux.Handler(&http.Request{Method: in.Method, Host: in.Host, URL: target})
	r.SetPatternIfUnknown(pattern)
	return pattern != ""
}
