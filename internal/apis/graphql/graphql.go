package graphql

import (
	"context"
	"net/http"

	gql "github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// GraphQL returns a handler for gqlgen's server. Subscriptions are streams, by whatever transport
// they come; queries and mutations are let finish.
func GraphQL(d *middleware.Drainer, srv *handler.Server) http.Handler {
	srv.AroundOperations(func(ctx context.Context, next gql.OperationHandler) gql.ResponseHandler {
		if gql.GetOperationContext(ctx).Operation.Operation == ast.Subscription {
			stream.Tag(ctx, policy.Infinite)
		}
		return next(ctx)
	})
	// By event stream: graphql-sse takes retry, and gives up at an event that is not its
	// protocol's.
	return middleware.Graceful(d, policy.Rule{Farewell: policy.Farewell{Send: policy.SendRetry}})(srv)
}

// Multipart returns a handler for subscriptions in Apollo's multipart protocol. Its clients read
// the last part as an error of the transport, after which their application subscribes again.
func Multipart(d *middleware.Drainer, subscriptions http.Handler) http.Handler {
	return middleware.Graceful(d, policy.Rule{
		Kind: policy.Infinite,
		Farewell: policy.Farewell{Message: "Content-Type: application/json\r\n\r\n" +
			`{"payload":null,"errors":[{"message":"service restart","extensions":{"retry":{retry}}}]}`},
		Ending: policy.CleanEnding, // the last part says it all
	})(subscriptions)
}
