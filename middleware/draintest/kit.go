package draintest

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/lastcall-go/lastcall/internal/request"
)

// Stuck opens a connection with dial, sends a request and reads nothing of the answer, as a phone
// does whose screen is off. route is a request as [Drill] takes it. dial is [Server.Dial], or for
// another server the DialContext of a net.Dialer, with its address. Read the connection to let the
// peer go on, close it to let it leave.
//
// On a TCP connection the kernels take some 100 KiB before the server's writes wait; in a bubble it
// is 4 KiB.
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

// Slow returns c with reads of at most n bytes, before each of which it waits for the time every,
// or until it is closed. One goroutine may read it at a time.
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

// Vanish closes c without the end of TLS, as a peer does whose process was killed: with a reset
// where c is a *net.TCPConn or in a bubble.
func Vanish(c net.Conn) error {
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok {
		return Vanish(inner.NetConn())
	}
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	return c.Close()
}

// Delay returns l with each connection accepted the time d late, as on a busy machine: a drain may
// begin after a client has connected, and before its request is read. Close ends the wait.
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
