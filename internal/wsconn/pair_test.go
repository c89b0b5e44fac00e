package wsconn

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

var bye = policy.Farewell{Code: 1012, Reason: "service restart", Message: "bye"}

var (
	byeText  = text("bye")
	byeClose = closeFrame(1012, "service restart")
)

// A pair is a Conn over a net.Pipe, and its peer, in a synctest bubble: nothing is written that the
// peer hasn't read.
type pair struct {
	*Conn
	t        *testing.T
	peer     net.Conn
	onCloses atomic.Int32
}

// inBubble runs f with a pair that is in frames, and afterwards ends what f has left open.
func inBubble(t *testing.T, f func(t *testing.T, p *pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		inner, peer := net.Pipe()
		p := &pair{t: t, peer: peer}
		p.Conn = New(inner, Options{Upgraded: true, OnClose: func() { p.onCloses.Add(1) }})
		f(t, p)
		p.Cut()
		_ = p.Close()
		_ = peer.Close()
		synctest.Wait()
		assert.EqualValues(t, 1, p.onCloses.Load(), "OnClose is called once")
	})
}

// A call is a function that was started on a goroutine.
type call struct {
	done atomic.Bool
	n    int
	err  error
}

func start(f func() (int, error)) *call {
	c := new(call)
	go func() {
		c.n, c.err = f()
		c.done.Store(true)
	}()
	synctest.Wait()
	return c
}

func do(f func()) *call { return start(func() (int, error) { f(); return 0, nil }) }

func (p *pair) writing(b []byte) *call { return start(func() (int, error) { return p.Write(b) }) }
func (p *pair) reading() *call {
	return start(func() (int, error) { return p.Read(make([]byte, 4096)) })
}
func (p *pair) farewell() *call     { return do(func() { p.Farewell(bye, 0) }) }
func (p *pair) says(b []byte) *call { return start(func() (int, error) { return p.peer.Write(b) }) }
func (p *pair) sees(want ...[]byte) { p.t.Helper(); p.seesNext(bytes.Join(want, nil)) }
func (p *pair) blocked(c *call, w string) {
	p.t.Helper()
	assert.False(p.t, c.done.Load(), "%s blocks", w)
}

// seesNext reads want as the peer.
func (p *pair) seesNext(want []byte) {
	p.t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(p.peer, got)
	require.NoError(p.t, err)
	require.Equal(p.t, want, got)
	synctest.Wait()
}

// returned asserts that a call came back.
func (p *pair) returned(c *call, n int, err error) {
	p.t.Helper()
	synctest.Wait()
	require.True(p.t, c.done.Load(), "it has returned")
	assert.Equal(p.t, n, c.n)
	assert.ErrorIs(p.t, c.err, err)
}

// loopback returns both ends of a TCP connection.
func loopback(t testing.TB) (inner, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	peer, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	inner = <-accepted
	t.Cleanup(func() { _ = inner.Close(); _ = peer.Close() })
	return inner, peer
}
