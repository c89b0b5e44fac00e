package graphql

import (
	"net/http"
	"strings"

	"github.com/lastcall-go/lastcall/policy"
)

// ByHeader returns the rules for a server that has nothing like AroundOperations. It takes all that
// comes by event stream for subscriptions, so a query that comes so is ended too.
func ByHeader() *policy.Mux {
	var routes policy.Mux
	routes.HandleIf("POST /graphql", func(r *http.Request) bool {
		return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	}, policy.Rule{Kind: policy.Infinite, Farewell: policy.Farewell{Send: policy.SendRetry}})
	return &routes
}
