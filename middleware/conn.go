package middleware

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
)

// A servedConn is a connection that the server has accepted, in the contexts of its requests.
type servedConn struct {
	net.Conn
	closing atomic.Bool // requests that still come are refused: net/http cancels their contexts, or closes it
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

// closeHard closes a connection without TLS's close_notify alert, which would wait up to five
// seconds for a peer that doesn't read.
func closeHard(c net.Conn) { _ = withoutTLS(c).Close() }

func withoutTLS(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}
