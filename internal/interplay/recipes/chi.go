package recipes

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Chi returns a handler for an http.Server that d.Run serves.
func Chi(d *middleware.Drainer, news, answer http.HandlerFunc) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Graceful(d))
	r.Route("/feeds", func(r chi.Router) {
		r.Use(middleware.Graceful(d, policy.TellComeBack()))
		r.Get("/news", news)
		// The innermost rule wins: this event stream ends by itself.
		r.With(middleware.Graceful(d, policy.LetFinish())).Get("/answer", answer)
	})
	return r
}
