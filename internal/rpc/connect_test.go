package rpc

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

// connectHandler returns the service as connect-go serves it, in its three protocols.
func connectHandler(s *service, options ...connect.HandlerOption) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(unary, connect.NewUnaryHandler(unary,
		func(ctx context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
			answer, err := s.unary(ctx, r.Msg.Value)
			if err != nil {
				return nil, connectError(err)
			}
			return connect.NewResponse(wrapperspb.String(answer)), nil
		}, append(options, connect.WithIdempotency(connect.IdempotencyNoSideEffects))...))
	mux.Handle(list, connect.NewServerStreamHandler(list,
		func(ctx context.Context, r *connect.Request[text], stream *connect.ServerStream[text]) error {
			return connectError(s.list(ctx, r.Msg.Value, func(m string) error { return stream.Send(wrapperspb.String(m)) }))
		}, options...))
	mux.Handle(watch, connect.NewServerStreamHandler(watch,
		func(ctx context.Context, r *connect.Request[text], stream *connect.ServerStream[text]) error {
			return connectError(s.watch(ctx, r.Msg.Value, func(m string) error { return stream.Send(wrapperspb.String(m)) }))
		}, options...))
	mux.Handle(chat, connect.NewBidiStreamHandler(chat,
		func(ctx context.Context, stream *connect.BidiStream[text, text]) error {
			return connectError(s.chat(ctx, func() (string, error) {
				m, err := stream.Receive()
				return m.GetValue(), err
			}, func(m string) error { return stream.Send(wrapperspb.String(m)) }))
		}, options...))
	return mux
}

func connectError(err error) error {
	if errors.Is(err, errOwn) {
		e := connect.NewError(connect.CodeResourceExhausted, err)
		detail, _ := connect.NewErrorDetail(wrapperspb.String("which must not outlive it"))
		e.AddDetail(detail)
		return e
	}
	return err
}

type connectClient struct {
	http                     *http.Client
	ofUnary, ofList, ofWatch *connect.Client[text, text]
	ofChat                   *connect.Client[text, text]
}

func newConnectClient(c *http.Client, options ...connect.ClientOption) *connectClient {
	of := func(procedure string, options ...connect.ClientOption) *connect.Client[text, text] {
		scheme := "http://"
		if c.Transport.(*http.Transport).TLSClientConfig != nil {
			scheme = "https://"
		}
		return connect.NewClient[text, text](c, scheme+"memory"+procedure, options...)
	}
	ofUnary := append(options[:len(options):len(options)], connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	return &connectClient{c, of(unary, ofUnary...), of(list, options...), of(watch, options...), of(chat, options...)}
}

func (c *connectClient) unary(ctx context.Context, request string) (string, error) {
	res, err := c.ofUnary.CallUnary(ctx, connect.NewRequest(wrapperspb.String(request)))
	if err != nil {
		return "", connectFailure(err)
	}
	return res.Msg.Value, nil
}

func (c *connectClient) list(ctx context.Context, request string, each func(string)) error {
	return c.receive(ctx, c.ofList, request, each)
}

func (c *connectClient) watch(ctx context.Context, request string, each func(string)) error {
	return c.receive(ctx, c.ofWatch, request, each)
}

func (c *connectClient) receive(ctx context.Context, of *connect.Client[text, text], request string, each func(string)) error {
	stream, err := of.CallServerStream(ctx, connect.NewRequest(wrapperspb.String(request)))
	if err != nil {
		return connectFailure(err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		each(stream.Msg().Value)
	}
	return connectFailure(stream.Err())
}

func (c *connectClient) chat(ctx context.Context, request string, wait func()) error {
	stream := c.ofChat.CallBidiStream(ctx)
	defer func() {
		_ = stream.CloseRequest()
		_ = stream.CloseResponse()
	}()
	for {
		_ = stream.Send(wrapperspb.String(request)) // Receive says why it failed
		if _, err := stream.Receive(); err != nil {
			return connectFailure(err)
		}
		wait()
	}
}

func (c *connectClient) close() { c.http.CloseIdleConnections() }

func connectFailure(err error) error {
	if err == nil {
		return nil
	}
	f := &failure{code: connect.CodeOf(err).String(), message: err.Error(), retry: -1}
	if e := (*connect.Error)(nil); errors.As(err, &e) {
		f.message = e.Message()
		f.retry = retryAfter(e.Meta().Get("Grpc-Retry-Pushback-Ms"), e.Meta().Get("Retry-After"))
	}
	return f
}

// retryAfter returns when to try again, by the first of these that is given.
func retryAfter(ms, s string) time.Duration {
	if n, err := strconv.Atoi(ms); err == nil {
		return time.Duration(n) * time.Millisecond
	}
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(n) * time.Second
	}
	return -1
}
