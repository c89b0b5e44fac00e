package rpc

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// Routes returns the rules of a service: its methods that never end by themselves are streams.
func Routes() policy.Policy {
	var routes policy.Mux
	routes.Handle("/news.v1.News/Watch", policy.TellComeBack())
	return &routes
}

// Server returns a server for d.Run. h is a mux with connect-go's handlers, or a *grpc.Server.
func Server(addr string, d *middleware.Drainer, h http.Handler) *http.Server {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true) // which gRPC needs where there is no TLS
	return &http.Server{Addr: addr, Handler: middleware.Graceful(d)(h), Protocols: p}
}

// RetryPolicy is for grpc.WithDefaultServiceConfig: grpc-go's client repeats calls that are
// refused.
const RetryPolicy = `{"methodConfig": [{"name": [{}], "retryPolicy": {
	"maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
	"retryableStatusCodes": ["UNAVAILABLE"]}}]}`

// Slot returns when the server asks the client to call again. It is negative where it doesn't.
func Slot(err error) time.Duration {
	var e *connect.Error
	if !errors.As(err, &e) || e.Code() != connect.CodeUnavailable {
		return -1
	}
	if ms, err := strconv.Atoi(e.Meta().Get("Grpc-Retry-Pushback-Ms")); err == nil {
		return time.Duration(ms) * time.Millisecond
	}
	if s, err := strconv.Atoi(e.Meta().Get("Retry-After")); err == nil {
		return time.Duration(s) * time.Second
	}
	return time.Second // nobody listens
}

// Follow reads a stream, and comes back whenever its server is going, when that has asked it to.
func Follow(ctx context.Context, watch *connect.Client[emptypb.Empty, wrapperspb.StringValue], each func(string)) error {
	for {
		news, err := watch.CallServerStream(ctx, connect.NewRequest(new(emptypb.Empty)))
		if err == nil {
			for news.Receive() {
				each(news.Msg().Value)
			}
			err = news.Err()
			_ = news.Close()
		}
		slot := Slot(err)
		if slot < 0 {
			return err
		}
		select {
		case <-time.NewTimer(slot).C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Repeat has a client repeat a unary call that the server has refused, when it asks for that, at
// most 4 times. Use it as a connect.UnaryInterceptorFunc.
func Repeat(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		for try := 1; ; try++ {
			res, err := next(ctx, r)
			slot := Slot(err)
			if err == nil || slot < 0 || try == 5 {
				return res, err
			}
			select {
			case <-time.NewTimer(slot).C:
			case <-ctx.Done():
				return nil, err
			}
		}
	}
}

// Unavailable has a handler's error say that the server is not available where the drain has
// canceled the call, and not that its client has. Use it as a connect.UnaryInterceptorFunc.
func Unavailable(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, r)
		if err != nil && errors.Is(context.Cause(ctx), stream.ErrDraining) {
			err = connect.NewError(connect.CodeUnavailable, err)
		}
		return res, err
	}
}
