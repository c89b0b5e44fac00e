// Package memnet is a network in memory for tests.
package memnet

import (
	"context"
	"net"
	"sync"
)

// A Network is a listener and what dials it. It is made of channels, so that a testing/synctest
// bubble in which it was made owns all of it.
type Network struct {
	pipe   func() (client, server net.Conn)
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// New returns a network on which nothing has been dialed yet. Its connections are those of
// [net.Pipe], without a buffer: a peer that does not read blocks the writer at once.
func New() *Network {
	return &Network{pipe: net.Pipe, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for the next call of Dial and returns the server's end of its connection. After
// Close it returns [net.ErrClosed].
func (n *Network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial. Connections stay open.
func (n *Network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

// Addr implements [net.Listener].
func (n *Network) Addr() net.Addr { return addr }

var addr = &net.UnixAddr{Name: "memory", Net: "unix"}

// Dial waits for Accept and returns the client's end of the connection, whatever the address. It
// fits http.Transport's DialContext.
func (n *Network) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := n.pipe()
	select {
	case n.conns <- server:
		return client, nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
