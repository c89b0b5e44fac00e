// Package graphql has the clients of GraphQL follow subscriptions through a drain and a restart,
// and get their answers, from gqlgen's server. It holds tests only, beside the functions of
// docs/graphql.md.
package graphql

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	gql "github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/lastcall-go/lastcall/internal/apis/rig"
	"github.com/lastcall-go/lastcall/middleware"
)

var parsed = gqlparser.MustLoadSchema(&ast.Source{Input: `
	directive @defer(if: Boolean = true, label: String) on FRAGMENT_SPREAD | INLINE_FRAGMENT
	type Query { answer(call: String!): String! }
	type Subscription { ticks: String! }
`})

// A schema is executed as the code that gqlgen generates is.
type schema struct {
	round    *rig.Round
	name     string        // of the server
	arrived  chan struct{} // closed when a subscription or a call has begun
	once     sync.Once
	streams  atomic.Int64
	answered atomic.Int64
}

func newSchema(r *rig.Round, name string) *schema {
	return &schema{round: r, name: name, arrived: make(chan struct{})}
}

func (s *schema) Schema() *ast.Schema { return parsed }

func (s *schema) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (s *schema) Exec(ctx context.Context) gql.ResponseHandler {
	s.once.Do(func() { close(s.arrived) })
	if gql.GetOperationContext(ctx).Operation.Operation == ast.Subscription {
		return s.ticks()
	}
	return s.answer()
}

func field(name, value string) json.RawMessage {
	data, _ := json.Marshal(map[string]string{name: value})
	return data
}

// ticks has a value every few milliseconds, numbered from 0.
func (s *schema) ticks() gql.ResponseHandler {
	s.streams.Add(1)
	i := 0
	return func(ctx context.Context) *gql.Response {
		if !rig.Pause(s.round.Moment(20*time.Millisecond), ctx.Done()) {
			return nil
		}
		value := fmt.Sprintf("%s/%d", s.name, i)
		i++
		return &gql.Response{Data: field("ticks", value)}
	}
}

// answer has parts that are deferred.
func (s *schema) answer() gql.ResponseHandler {
	left := 3 + s.round.Of(10)
	return func(context.Context) *gql.Response {
		if left--; left < 0 {
			return nil
		}
		rig.Pause(s.round.Moment(10*time.Millisecond), nil)
		hasNext := left > 0
		if !hasNext {
			s.answered.Add(1) // before the client could ask
		}
		return &gql.Response{Data: field("answer", fmt.Sprintf("%s/%d ", s.name, left)), HasNext: &hasNext}
	}
}

func (s *schema) handler(d *middleware.Drainer) http.Handler {
	srv := handler.New(s)
	srv.AddTransport(transport.Websocket{})
	srv.AddTransport(transport.SSE{})
	srv.AddTransport(transport.MultipartMixed{})
	srv.AddTransport(transport.POST{})
	mux := http.NewServeMux()
	mux.Handle("/graphql", GraphQL(d, srv))
	mux.Handle("POST /multipart", Multipart(d, http.HandlerFunc(s.multipart)))
	return mux
}

// multipart is a subscription in Apollo's multipart protocol, which gqlgen has none of: parts with
// a payload, each with the delimiter of the next one behind it.
func (s *schema) multipart(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", `multipart/mixed;boundary="graphql";subscriptionSpec=1.0`)
	flush := http.NewResponseController(w).Flush
	fmt.Fprint(w, "--graphql\r\nContent-Type: application/json\r\n\r\n{}\r\n--graphql\r\n")
	_ = flush()
	s.once.Do(func() { close(s.arrived) })
	next := s.ticks()
	for {
		response := next(r.Context())
		if response == nil {
			return
		}
		payload, _ := json.Marshal(response)
		if _, err := fmt.Fprintf(w, "Content-Type: application/json\r\n\r\n{\"payload\":%s}\r\n--graphql\r\n", payload); err != nil {
			return
		}
		_ = flush()
	}
}
