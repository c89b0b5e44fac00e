package middleware

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

// A servedConn is a connection that the server has accepted, in the contexts of its requests.
type servedConn struct {
	net.Conn
	// closing: requests that still come are refused, since net/http has canceled their contexts, or
	// is about to.
	closing atomic.Bool
}

type connKey struct{} // of the *servedConn in a request's context

func connOf(ctx context.Context) *servedConn {
	c, _ := ctx.Value(connKey{}).(*servedConn)
	return c
}

// markConnClosing has requests that still come over the response's connection refused. It reports
// false if the connection isn't known.
func (x *exchange) markConnClosing() bool {
	c := connOf(x.Request().Context())
	if c == nil {
		return false
	}
	c.closing.Store(true)
	x.d.closingConns.Store(true)
	return true
}

// onClosingConn reports whether the request came over a connection that was to be closed before:
// pipelined behind a stream that was told to come back, say.
func onClosingConn(r *http.Request) bool {
	c := connOf(r.Context())
	return c != nil && r.ProtoMajor == 1 && c.closing.Load()
}

// closeConnOfTold has net/http close an HTTP/1 connection whose client was told to come back while
// the server goes on: over it the client would reach this same replica. It is too late for a
// Connection: close where a stream's header was sent long before.
func (x *exchange) closeConnOfTold() {
	if r, ok := x.ownConn().(interface{ CloseRead() error }); ok {
		x.markConnClosing() // a request may have come already
		_ = r.CloseRead()   // to net/http's next read it looks as if the client had closed it
	}
}

// ownConn returns the connection, without TLS around it, if it carries this response alone: with
// HTTP/1, while [Drainer.ConnContext] is set. Else it returns nil.
func (x *exchange) ownConn() net.Conn {
	ctx := x.Request().Context()
	// An outer http.TimeoutHandler that has timed out has replied, and the connection may be at its
	// next request.
	timedOut := ctx.Err() == context.DeadlineExceeded && fmt.Sprintf("%T", innermost(x.w)) == "*http.timeoutWriter"
	if x.Request().ProtoMajor != 1 || timedOut {
		return nil
	}
	if c := connOf(ctx); c != nil {
		return withoutTLS(c.Conn)
	}
	return nil
}

// closeConnAtEnd has net/http close the connection when the response has ended, in the way that it
// does behind a request whose body goes over its limit: for a Connection: close it may be too late.
func (x *exchange) closeConnAtEnd() {
	if w := innermost(x.w); isNetHTTP1(w) {
		tooLarge := http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0)
		_, _ = tooLarge.Read(make([]byte, 1))
	}
}

// closeHard closes a connection without TLS's close_notify alert, which would wait up to five
// seconds for a peer that doesn't read.
func closeHard(c net.Conn) { _ = withoutTLS(c).Close() }

func withoutTLS(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}
