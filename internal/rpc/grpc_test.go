package rpc

import (
	"context"
	"errors"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"connectrpc.com/connect"
)

// grpcHandler returns the service as grpc-go serves it by its ServeHTTP.
func grpcHandler(s *service) *grpc.Server {
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Service",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Unary",
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				var in text
				if err := decode(&in); err != nil {
					return nil, err
				}
				answer, err := s.unary(ctx, in.Value)
				if err != nil {
					return nil, grpcError(err)
				}
				return wrapperspb.String(answer), nil
			},
		}},
		Streams: []grpc.StreamDesc{
			{StreamName: "List", ServerStreams: true, Handler: receivesOne(s.list)},
			{StreamName: "Watch", ServerStreams: true, Handler: receivesOne(s.watch)},
			{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
				return grpcError(s.chat(stream.Context(), func() (string, error) {
					var in text
					err := stream.RecvMsg(&in)
					return in.Value, err
				}, func(m string) error { return stream.SendMsg(wrapperspb.String(m)) }))
			}},
		},
	}, s)
	return server
}

func receivesOne(h func(context.Context, string, func(string) error) error) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		var in text
		if err := stream.RecvMsg(&in); err != nil {
			return err
		}
		return grpcError(h(stream.Context(), in.Value, func(m string) error { return stream.SendMsg(wrapperspb.String(m)) }))
	}
}

func grpcError(err error) error {
	if errors.Is(err, errOwn) {
		s, _ := status.New(codes.ResourceExhausted, err.Error()).WithDetails(wrapperspb.String("which must not outlive it"))
		return s.Err()
	}
	return err
}

type grpcClient struct{ conn *grpc.ClientConn }

func newGRPCClient(dial dial, secure bool, options ...grpc.DialOption) *grpcClient {
	with := insecure.NewCredentials()
	if secure {
		with = credentials.NewTLS(insecureTLS())
	}
	conn, err := grpc.NewClient("passthrough:///memory", append(options,
		grpc.WithTransportCredentials(with),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, "", "") }))...)
	if err != nil {
		panic(err)
	}
	return &grpcClient{conn}
}

func (c *grpcClient) unary(ctx context.Context, request string) (string, error) {
	var out text
	var trailer metadata.MD
	err := c.conn.Invoke(ctx, unary, wrapperspb.String(request), &out, grpc.Trailer(&trailer))
	return out.Value, grpcFailure(err, trailer)
}

func (c *grpcClient) list(ctx context.Context, request string, each func(string)) error {
	return c.receive(ctx, list, request, each)
}

func (c *grpcClient) watch(ctx context.Context, request string, each func(string)) error {
	return c.receive(ctx, watch, request, each)
}

func (c *grpcClient) receive(ctx context.Context, procedure, request string, each func(string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, procedure)
	if err != nil {
		return grpcFailure(err, nil)
	}
	_ = stream.SendMsg(wrapperspb.String(request)) // RecvMsg says why it failed
	_ = stream.CloseSend()
	for {
		var m text
		if err := stream.RecvMsg(&m); err != nil {
			return grpcFailure(err, stream.Trailer())
		}
		each(m.Value)
	}
}

func (c *grpcClient) chat(ctx context.Context, request string, wait func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, chat)
	if err != nil {
		return grpcFailure(err, nil)
	}
	for {
		_ = stream.SendMsg(wrapperspb.String(request)) // RecvMsg says why it failed
		var m text
		if err := stream.RecvMsg(&m); err != nil {
			return grpcFailure(err, stream.Trailer())
		}
		wait()
	}
}

func (c *grpcClient) close() { _ = c.conn.Close() }

func grpcFailure(err error, trailer metadata.MD) error {
	if err == nil || err.Error() == "EOF" {
		return nil
	}
	s := status.Convert(err)
	f := &failure{code: connect.Code(s.Code()).String(), message: s.Message(), retry: -1}
	f.retry = retryAfter(strings.Join(trailer["grpc-retry-pushback-ms"], ","), "")
	return f
}
