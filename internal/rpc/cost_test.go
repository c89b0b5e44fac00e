package rpc

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/lastcall-go/lastcall/bench/pair"
	"github.com/lastcall-go/lastcall/middleware"
)

// callers is how many calls are under way at once: enough to keep every core busy.
const callers = 8

// BenchmarkCall compares calls through lastcall with those of the bare handler, each with the
// library's own client. What matters is the ratio: bare's time over the one through lastcall.
//
//	go test -run '^$' -bench Call -benchtime 20x
func BenchmarkCall(b *testing.B) {
	for _, c := range []cell{
		{"Connect over HTTP 1", http1, "connect-go", "connect"},
		{"Connect over h2c", h2c, "connect-go", "connect"},
		{"gRPC-Web over h2c", h2c, "connect-go", "grpcweb"},
		{"gRPC over h2c", h2c, "connect-go", "grpc"},
		{"ServeHTTP over h2c", h2c, "grpc-go", "grpc-go"},
	} {
		for _, call := range []struct {
			name string
			of   func(client) error
		}{
			{"unary", func(c client) error {
				_, err := c.unary(context.Background(), "bench 0s")
				return err
			}},
			{"stream", func(c client) error { return c.list(context.Background(), "bench 100 100 0s", func(string) {}) }},
		} {
			b.Run(c.name+"/"+call.name, func(b *testing.B) {
				pair.Compare(b, 4*pair.Turn, 0, calls(c, call.of, bare), calls(c, call.of, graceful))
			})
		}
	}
}

func bare(h http.Handler) http.Handler { return h }

func graceful(h http.Handler) http.Handler { return middleware.Graceful(&middleware.Drainer{})(h) }

// calls is a variant that makes calls to a server of its own, on loopback.
func calls(c cell, call func(client) error, wrap func(http.Handler) http.Handler) pair.Variant {
	return func(tb testing.TB) func(int) {
		s := &service{server: "bench"}
		server := httptest.NewUnstartedServer(wrap(c.handler(tb, s)))
		server.Config.Protocols = c.wire.protocols()
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.Start()
		tb.Cleanup(server.Close)
		clients := make([]client, callers)
		for i := range clients {
			clients[i] = c.newClient(func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
			})
			tb.Cleanup(clients[i].close)
		}
		return func(n int) {
			var wg sync.WaitGroup
			for i, client := range clients {
				wg.Go(func() {
					for range (n + i) / len(clients) {
						if err := call(client); err != nil {
							panic(err)
						}
					}
				})
			}
			wg.Wait()
		}
	}
}
