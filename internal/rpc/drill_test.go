package rpc

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/draintest"
	"github.com/lastcall-go/lastcall/policy"
)

// route returns one of the drill's, with a message in protobuf.
func route(t *testing.T, procedure, contentType, says string, fields ...string) string {
	message, err := proto.Marshal(wrapperspb.String(says))
	assert.NoError(t, err)
	fields = append([]string{"POST " + procedure, "Content-Type: " + contentType}, fields...)
	return strings.Join(fields, "\n") + fmt.Sprintf("\n\n%x", message)
}

// The drill of both libraries' handlers, in each protocol, finds nothing.
func TestDrill(t *testing.T) {
	const ofConnect = "Connect-Protocol-Version: 1"
	for name, c := range map[string]struct {
		handler func(*service) http.Handler
		types   []string // of streams
		unary   []string
	}{
		"connect-go": {
			func(s *service) http.Handler { return connectHandler(s) },
			[]string{"application/grpc", "application/grpc-web+proto", "application/connect+proto", `^4\.1: .* ends with the status "ok"`},
			[]string{
				route(t, unary, "application/proto", "one 1s", ofConnect),
				"POST " + unary + "\nContent-Type: application/json\n" + ofConnect + "\n\n\"one 1s\"",
				unary + "?connect=v1&encoding=json&message=%22one%201s%22",
			},
		},
		"grpc-go": {func(s *service) http.Handler { return grpcHandler(s) }, []string{"application/grpc"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			routes := c.unary
			for _, kind := range c.types {
				if strings.HasPrefix(kind, "application/grpc") {
					routes = append(routes, route(t, unary, kind, "one 1s"))
				}
				routes = append(routes, route(t, list, kind, "one 10 100 200ms"),
					route(t, watch, kind, "one 100 300ms err"), route(t, watch, kind, "one 100 300ms draining nil"))
			}
			draintest.Drill(t, func(_ testing.TB, d *middleware.Drainer) http.Handler {
				d.Policy = infinite(policy.TellComeBack())
				return c.handler(&service{})
			}, routes...)
		})
	}
}

// A handler that goes by the drain's beginning ends its stream before that is told.
func TestDrillFindsACallThatEndsBeforeItIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(*service) http.Handler
		kind    string
		finds   string
	}{
		"connect-go's gRPC":    {func(s *service) http.Handler { return connectHandler(s) }, "application/grpc", `^4\.1: .* ends with the status "ok"`},
		"connect-go's Connect": {func(s *service) http.Handler { return connectHandler(s) }, "application/connect+proto", `^4\.1: .* ends with the status "ok"`},
		"grpc-go":              {func(s *service) http.Handler { return grpcHandler(s) }, "application/grpc", `^4\.(1: .* ends with the status "ok"|5: .* ends without a status)`}, // whichever its transport looks at first
	} {
		t.Run(name, func(t *testing.T) {
			found := draintest.Check(t, func(_ testing.TB, d *middleware.Drainer) http.Handler {
				d.Policy = infinite(policy.TellComeBack())
				h := c.handler(&service{})
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx, cancel := context.WithCancel(r.Context())
					defer cancel()
					go func() {
						defer cancel()
						select {
						case <-d.Draining():
						case <-ctx.Done():
						}
					}()
					h.ServeHTTP(w, r.WithContext(ctx))
				})
			}, route(t, watch, c.kind, "one 100 300ms context nil"))
			if assert.NotEmpty(t, found) {
				assert.Regexp(t, c.finds, found[0].String())
			}
		})
	}
}
