package rpc

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

const recipeWatch = "/news.v1.News/Watch"

// started runs a server of the recipe, in a synctest bubble.
func started(d *middleware.Drainer, h http.Handler) *server {
	ctx, stop := context.WithCancel(context.Background())
	s := &server{net: memnet.New(), d: d, stop: stop, done: make(chan struct{})}
	srv := Server("", d, h)
	go func() {
		defer close(s.done)
		s.err = d.Run(ctx, srv, func() error { return srv.Serve(s.net) })
	}()
	return s
}

// A client that follows is back on the next server after its slot.
func TestRecipeFollow(t *testing.T) {
	for _, option := range []connect.ClientOption{connect.WithClientOptions(), connect.WithGRPC(), connect.WithGRPCWeb()} {
		synctest.Test(t, func(t *testing.T) {
			serving := func(name string) *server {
				mux := http.NewServeMux()
				mux.Handle(recipeWatch, connect.NewServerStreamHandler(recipeWatch,
					func(ctx context.Context, _ *connect.Request[emptypb.Empty], s *connect.ServerStream[wrapperspb.StringValue]) error {
						_ = s.Send(wrapperspb.String(name))
						<-ctx.Done()
						return ctx.Err()
					}))
				return started(&middleware.Drainer{Policy: Routes()}, mux)
			}
			first, second := serving("first"), serving("second")
			c := httpClient(h2c, oneOf(first, second))
			var from []string
			var at []time.Duration
			began := time.Now()
			ctx, leave := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, first.stop)
			time.AfterFunc(10*time.Second, leave)
			err := Follow(ctx, connect.NewClient[emptypb.Empty, wrapperspb.StringValue](c, "http://memory"+recipeWatch, option), func(m string) {
				from = append(from, m)
				at = append(at, time.Since(began))
			})
			assert.Equal(t, connect.CodeCanceled, connect.CodeOf(err))
			assert.Equal(t, []string{"first", "second"}, from)
			assert.LessOrEqual(t, at[1], 7*time.Second)
			assert.NoError(t, stopped(first))
			assert.EqualValues(t, 1, first.d.Report().Told)
			c.CloseIdleConnections()
			assert.NoError(t, stopped(second))
		})
	}
}

// A late call of grpc-go's client comes to the next server by itself, after the time that the
// refusal gave it.
func TestRecipeRetryPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		books := newLedger()
		in3s := policy.Rule{Reconnect: policy.Window{Min: 3 * time.Second, Max: 3 * time.Second}}
		serving := func(name string) *server {
			h := grpcHandler(&service{name, books})
			t.Cleanup(h.Stop)
			return started(&middleware.Drainer{Policy: in3s}, h)
		}
		first, second := serving("first"), serving("second")
		client := newGRPCClient(oneOf(first, second), false, grpc.WithDefaultServiceConfig(RetryPolicy))
		going := make(chan error)
		go func() {
			_, err := client.unary(context.Background(), "going 5s")
			going <- err
		}()
		synctest.Wait()
		first.stop()
		<-first.d.Draining()
		synctest.Wait()
		began := time.Now()
		_, err := client.unary(t.Context(), "late 0s")
		assert.NoError(t, err)
		assert.Equal(t, 3*time.Second, time.Since(began), "its slot")
		assert.NoError(t, <-going)
		assert.Equal(t, "second", books.arrivals("late")[0].server)
		assert.Len(t, books.arrivals("late"), 1)
		assert.NoError(t, stopped(first))
		assert.EqualValues(t, 1, first.d.Report().Refused)
		client.close()
		assert.NoError(t, stopped(second))
	})
}

func TestRecipeUnavailable(t *testing.T) {
	for _, c := range cells {
		if c.server != "connect-go" {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			h := connectHandler(&service{"first", nil}, connect.WithInterceptors(connect.UnaryInterceptorFunc(Unavailable)))
			s := serve(&middleware.Drainer{Policy: policy.Rule{Grace: time.Second}}, c.wire, h)
			client := c.newClient(oneOf(s))
			defer client.close()
			time.AfterFunc(time.Second, s.stop)
			_, err := client.unary(t.Context(), "slow 1h err")
			assert.Equal(t, "unavailable", code(err))
			assert.True(t, strings.Contains(err.Error(), "context canceled"), "%v", err)
			assert.NoError(t, stopped(s))
		})
	}
}
