package recipes

import (
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Kubernetes returns a Drainer with the budget of the manifest, and a handler for the http.Server
// that its Run serves. The probes are outside of Graceful.
func Kubernetes(app http.Handler) (*middleware.Drainer, http.Handler, error) {
	budget, err := policy.FromEnv(os.LookupEnv) // LASTCALL_BUDGET and LASTCALL_ANNOUNCE
	if err != nil {
		return nil, nil, err
	}
	d := &middleware.Drainer{Budget: budget, Logger: slog.Default()}
	mux := http.NewServeMux()
	mux.Handle("/", middleware.Graceful(d)(app))
	mux.Handle("GET /readyz", d.Readiness()) // 503 as soon as the drain begins
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	return d, mux, nil
}
