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

// groupOf returns the response's group. If that has no pattern yet, it asks the only ServeMux for it.
func (d *Drainer) groupOf(r *tracked.Response) tracked.Group {
	g, mux := r.Group(), d.onlyMux.Load()
	if mux == nil || g.Pattern != "" {
		return g
	}
	in := r.Request()
	target, err := url.ParseRequestURI(in.RequestURI) // not in.URL, which handlers may change
	if err != nil {
		return g
	}
	_, pattern := mux.Handler(&http.Request{Method: in.Method, Host: in.Host, URL: target})
	r.SetPatternIfUnknown(pattern)
	return r.Group()
}
