package rpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A server is one of those behind a dialer, on a network in memory, under a Drainer.
type server struct {
	net  *memnet.Network
	d    *middleware.Drainer
	stop context.CancelFunc
	done chan struct{} // closed when Run has returned
	err  error         // what it returned; may be read once done is closed
}

// wire is the protocol below that of the calls.
type wire struct {
	name       string
	http2, tls bool
}

var (
	http1 = wire{"HTTP/1.1", false, false}
	h2    = wire{"HTTP/2", true, true}
	h2c   = wire{"h2c", true, false}
)

func (w wire) protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(!w.http2)
	p.SetHTTP2(w.http2 && w.tls)
	p.SetUnencryptedHTTP2(w.http2 && !w.tls)
	return p
}

// serve runs h under d, in a synctest bubble.
func serve(d *middleware.Drainer, w wire, h http.Handler) *server {
	ctx, stop := context.WithCancel(context.Background())
	s := &server{net: memnet.New(), d: d, stop: stop, done: make(chan struct{})}
	srv := &http.Server{Handler: middleware.Graceful(d)(h), Protocols: w.protocols(), ErrorLog: log.New(io.Discard, "", 0)}
	listen := func() error { return srv.Serve(s.net) }
	if w.tls {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
		listen = func() error { return srv.ServeTLS(s.net, "", "") }
	}
	go func() {
		defer close(s.done)
		s.err = d.Run(ctx, srv, listen)
	}()
	return s
}

// certificate returns one with a key that is quicker than the one of net/http/httptest.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"memory"}}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func insecureTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} } // it is a test's own certificate

// infinite is the policy of the service.
func infinite(rule policy.Rule) policy.Policy {
	rule.Kind = policy.Infinite
	var routes policy.Mux
	routes.Handle("POST "+watch, rule)
	routes.Handle("POST "+chat, rule)
	return &routes
}

type dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// oneOf connects to the first of the servers that isn't draining, as a load balancer does.
func oneOf(servers ...*server) dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		for _, s := range servers {
			select {
			case <-s.d.Draining():
			default:
				return s.net.Dial(ctx, network, addr)
			}
		}
		return nil, net.ErrClosed
	}
}

func httpClient(w wire, dial dial) *http.Client {
	t := &http.Transport{DialContext: dial, Protocols: w.protocols()}
	if w.tls {
		t.TLSClientConfig = insecureTLS()
	}
	return &http.Client{Transport: t}
}

// A cell is a library on either side and what is between them.
type cell struct {
	name   string
	wire   wire
	server string // connect-go, grpc-go, or a proxy before connect-go
	client string // connect, grpc, grpcweb, or grpc-go
}

func (c cell) handler(t testing.TB, s *service) http.Handler {
	if c.server == "grpc-go" {
		h := grpcHandler(s)
		t.Cleanup(h.Stop)
		return h
	}
	h := connectHandler(s, connect.WithCompressMinBytes(100))
	if c.server == "proxy" {
		return proxyTo(t, c.wire, h)
	}
	return h
}

// proxyTo returns a proxy whose back end serves h, and goes on until the test ends.
func proxyTo(t testing.TB, w wire, h http.Handler) http.Handler {
	l := memnet.New()
	srv := &http.Server{Handler: h, Protocols: w.protocols()}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(l)
	}()
	backend := httpClient(w, l.Dial).Transport.(*http.Transport)
	t.Cleanup(func() {
		backend.CloseIdleConnections()
		_ = srv.Close()
		<-served
	})
	return &httputil.ReverseProxy{
		Transport: backend,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "memory"}) },
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
			if !errors.Is(context.Cause(r.Context()), stream.ErrDraining) { // else lastcall answers
				w.WriteHeader(http.StatusBadGateway)
			}
		},
	}
}

// bidi reports whether the wire lets both sides send at the same time.
func (c cell) bidi() bool { return c.wire.http2 }

// newClient returns the cell's client, with those of the options that are for it.
func (c cell) newClient(dial dial, options ...any) client {
	if c.client == "grpc-go" {
		return newGRPCClient(dial, c.wire.tls, of[grpc.DialOption](options)...)
	}
	with := of[connect.ClientOption](options)
	switch c.client {
	case "grpc":
		with = append(with, connect.WithGRPC())
	case "grpcweb":
		with = append(with, connect.WithGRPCWeb())
	}
	return newConnectClient(httpClient(c.wire, dial), with...)
}

// of returns those that are a T.
func of[T any](options []any) (ts []T) {
	for _, o := range options {
		if t, ok := o.(T); ok {
			ts = append(ts, t)
		}
	}
	return ts
}

var cells = []cell{
	{"Connect over HTTP 1", http1, "connect-go", "connect"},
	{"Connect over HTTP 2", h2, "connect-go", "connect"},
	{"Connect over h2c", h2c, "connect-go", "connect"},
	{"gRPC-Web over HTTP 1", http1, "connect-go", "grpcweb"},
	{"gRPC-Web over HTTP 2", h2, "connect-go", "grpcweb"},
	{"gRPC-Web over h2c", h2c, "connect-go", "grpcweb"},
	{"gRPC over HTTP 2", h2, "connect-go", "grpc"},
	{"gRPC over h2c", h2c, "connect-go", "grpc"},
	{"ServeHTTP over HTTP 2", h2, "grpc-go", "grpc-go"},
	{"ServeHTTP over h2c", h2c, "grpc-go", "grpc-go"},
	{"connect-go to ServeHTTP", h2c, "grpc-go", "grpc"},
	{"Connect through a proxy", h2c, "proxy", "connect"},
	{"gRPC through a proxy", h2c, "proxy", "grpc-go"},
	{"grpc-go to connect-go", h2c, "connect-go", "grpc-go"},
}

// writesSlowly has h write a piece at a time, so that a farewell comes in the middle of a message.
func writesSlowly(h http.Handler, pick func(int) int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(slowWriter{w, pick}, r) })
}

type slowWriter struct {
	http.ResponseWriter
	pick func(int) int
}

func (w slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w slowWriter) Flush()                      { _ = http.NewResponseController(w.ResponseWriter).Flush() }

func (w slowWriter) Write(p []byte) (n int, err error) {
	for piece := p[:w.pick(len(p)+1)]; ; piece = p[n:] {
		m, err := w.ResponseWriter.Write(piece)
		if n += m; err != nil || n == len(p) {
			return n, err
		}
		time.Sleep(time.Duration(w.pick(3)) * tick / 2)
	}
}
