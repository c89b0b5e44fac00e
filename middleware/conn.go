package middleware

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
)

// A servedConn is a connection that the server has accepted, in the contexts of its requests.
type servedConn struct {
	net.Conn
	// spent: net/http has canceled the context of whatever request still comes over it, or is about
	// to.
	spent atomic.Bool
}

type connKey struct{} // of the *servedConn in a request's context

func connOf(ctx context.Context) *servedConn {
	c, _ := ctx.Value(connKey{}).(*servedConn)
	return c
}

// spend has requests that still come over the response's connection refused. It reports false if the
// connection isn't known.
func (x *exchange) spend() bool {
	c := connOf(x.Request().Context())
	if c == nil {
		return false
	}
	c.spent.Store(true)
	x.d.spentConns.Store(true)
	return true
}

// isSpent reports whether the request came over a connection that was to be closed before: pipelined
// behind a stream that was told to come back, say.
func isSpent(r *http.Request) bool {
	c := connOf(r.Context())
	return c != nil && r.ProtoMajor == 1 && c.spent.Load()
}
