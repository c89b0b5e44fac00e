package draintest

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/lastcall-go/lastcall/internal/request"
)

// Stuck opens a connection with dial, sends a request and reads nothing of the answer: it is the
// peer behind a screen that is off, or a page that has stopped. route is one of [Drill]'s routes.
// dial is [Server.Dial], or that of a net.Dialer for another server, at address. Read the
// connection to let the peer go on, close it to let it leave.
//
// On a TCP connection the kernels take some 100 KiB before the server notices; in a bubble it is
// 4 KiB.
func Stuck(dial func(ctx context.Context, network, address string) (net.Conn, error), address, route string) (net.Conn, error) {
	r, err := request.Parse(route)
	if err != nil {
		return nil, err
	}
	c, err := dial(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	if b, ok := c.(interface{ SetReadBuffer(bytes int) error }); ok {
		_ = b.SetReadBuffer(4 << 10) // the kernel takes it as advice
	}
	if _, err := io.WriteString(c, r.Wire(host, false)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Slow returns c with reads of at most n bytes, each of which waits for the time that every says
// first, or until c is closed. One goroutine may read it at a time.
func Slow(c net.Conn, n int, every time.Duration) net.Conn {
	closed, cancel := context.WithCancel(context.Background())
	return &slow{Conn: c, n: n, every: every, closed: closed, cancel: cancel}
}

type slow struct {
	net.Conn
	n      int
	every  time.Duration
	closed context.Context // ends when Close is called
	cancel context.CancelFunc
}

func (s *slow) Read(p []byte) (int, error) {
	await(s.closed.Done(), s.every)
	return s.Conn.Read(p[:min(s.n, len(p))])
}

func (s *slow) Close() error {
	s.cancel()
	return s.Conn.Close()
}

// Vanish closes c as a peer does that is gone: without the end of TLS, and with a reset where c is
// a *net.TCPConn or in a bubble.
func Vanish(c net.Conn) error {
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok {
		return Vanish(inner.NetConn())
	}
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	return c.Close()
}

// Delay returns l with each connection accepted only after the time d, as on a machine that is too
// busy to do so: requests come that late, and a drain may begin between the two. Close ends the
// wait.
func Delay(l net.Listener, d time.Duration) net.Listener {
	closed, cancel := context.WithCancel(context.Background())
	return &delayed{Listener: l, d: d, closed: closed, cancel: cancel}
}

type delayed struct {
	net.Listener
	d      time.Duration
	closed context.Context // ends when Close is called
	cancel context.CancelFunc
}

func (l *delayed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if await(l.closed.Done(), l.d) {
		c.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *delayed) Close() error {
	l.cancel()
	return l.Listener.Close()
}

// await waits until done is closed, and reports false if that takes longer.
func await(done <-chan struct{}, atMost time.Duration) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
