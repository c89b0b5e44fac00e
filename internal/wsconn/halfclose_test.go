package wsconn

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHalfCloseInOrder(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*Conn, net.Conn)
		want []string
	}{
		{"Close of the handler", func(c *Conn, h net.Conn) { _ = h.Close() }, []string{"Close"}},
		{"answered", func(c *Conn, h net.Conn) {
			_, _ = io.ReadFull(h, make([]byte, 8))
			c.Farewell(bye, 0)
			_ = h.Close()
		}, []string{"SetWriteDeadline", "SetReadDeadline", "Close"}},
		{"answered after the farewell", func(c *Conn, h net.Conn) {
			c.Farewell(bye, 0)
			_, _ = io.ReadFull(h, make([]byte, 8))
			_ = h.Close()
		}, []string{"SetWriteDeadline", "Close"}},
		{"read by us", func(c *Conn, h net.Conn) { c.Farewell(bye, 0); c.Finish() },
			[]string{"SetWriteDeadline", "SetReadDeadline", "SetReadDeadline", "Close"}},
		{"half-closed by the handler after the farewell", func(c *Conn, h net.Conn) {
			c.Farewell(bye, 0)
			_ = h.(halfCloser).CloseWrite()
			_ = h.(halfCloser).CloseWrite()
			c.Finish()
		}, []string{"SetWriteDeadline", "SetReadDeadline", "SetReadDeadline", "CloseWrite", "Close"}},
		{"half-closed by the handler, which reads on", func(c *Conn, h net.Conn) {
			c.Farewell(bye, 0)
			_ = h.(halfCloser).CloseWrite()
			_, _ = io.ReadFull(h, make([]byte, 7))
			_ = h.SetWriteDeadline(time.Time{}) // to no effect
			_ = h.SetReadDeadline(time.Time{})
			_, _ = io.ReadFull(h, make([]byte, 1))
		}, []string{"SetWriteDeadline", "SetReadDeadline", "CloseWrite"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inner := &tape{in: peerClose(1012)}
			c := New(inner, Options{Upgraded: true})
			test.run(c, c.Handle())
			assert.Equal(t, test.want, inner.calls)
		})
	}
}

// Firefox takes an end that comes before its own Close for a lost connection. One that never
// answers keeps it open until the cut.
func TestNoEndBeforeThePeersClose(t *testing.T) {
	endings := map[string]func(c *Conn, handle net.Conn){
		"the handler closes":      func(_ *Conn, handle net.Conn) { _ = handle.Close() },
		"the handler half-closes": func(_ *Conn, handle net.Conn) { _ = handle.(interface{ CloseWrite() error }).CloseWrite() },
		"the handler is over":     func(c *Conn, _ net.Conn) { go c.Finish() },
		"all of it": func(c *Conn, handle net.Conn) {
			_ = handle.(interface{ CloseWrite() error }).CloseWrite()
			go c.Finish()
			_ = handle.Close()
		},
	}
	for name, end := range endings {
		for _, own := range []bool{false, true} {
			if own && name != "the handler is over" {
				continue // a Close frame of the handler's own, followed by its Close, is its to time
			}
			t.Run(fmt.Sprint(name, ", own Close frame: ", own), func(t *testing.T) {
				inner, peer := loopback(t)
				c := New(inner, Options{Upgraded: true})
				handle := c.Handle()
				defer handle.Close()
				want := join(byeText, byeClose)
				if own {
					want = closeFrame(1000, "")
					_, _ = handle.Write(want)
				} else {
					c.Farewell(bye, 0)
				}
				end(c, handle)
				got := make([]byte, len(want))
				_, err := io.ReadFull(peer, got)
				require.NoError(t, err)
				assert.Equal(t, want, got)
				_ = peer.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				_, err = peer.Read(got)
				assert.ErrorIs(t, err, errTimeout, "no FIN")
				_ = peer.SetReadDeadline(time.Now().Add(10 * time.Second))
				_, err = peer.Write(peerClose(1012))
				require.NoError(t, err)
				if name == "the handler half-closes" {
					_, err = io.ReadFull(handle, make([]byte, 8))
					require.NoError(t, err)
				}
				_, err = peer.Read(got)
				assert.ErrorIs(t, err, errEOF, "it has answered")
			})
		}
	}
}

// TestHalfCloseBehindTheFarewell has the handler half-close while the farewell is on its way.
func TestHalfCloseBehindTheFarewell(t *testing.T) {
	inner := &tape{in: peerClose(1012)}
	c := New(inner, Options{Upgraded: true})
	inner.during = func() {
		assert.NoError(t, c.Handle().(interface{ CloseWrite() error }).CloseWrite())
		assert.Equal(t, []string{"SetWriteDeadline"}, inner.calls)
	}
	c.Farewell(bye, 0)
	assert.Equal(t, []string{"SetWriteDeadline"}, inner.calls, "the peer hasn't answered")
	_, _ = io.ReadFull(c, make([]byte, 8))
	assert.Equal(t, []string{"SetWriteDeadline", "CloseWrite"}, inner.calls)
	assert.Equal(t, join(byeText, byeClose), inner.out)
}

// A handler that closes the connection for reading still has its farewell answered.
func TestCloseRead(t *testing.T) {
	inner, peer := loopback(t)
	c := New(inner, Options{Upgraded: true})
	handle := c.Handle()
	read := make(chan error)
	go func() {
		_, err := handle.Read(make([]byte, 1))
		read <- err
	}()
	require.NoError(t, handle.(interface{ CloseRead() error }).CloseRead())
	assert.ErrorIs(t, <-read, errEOF)
	c.Farewell(bye, 0)
	require.NoError(t, handle.Close())
	_, err := peer.Write(peerClose(1012))
	require.NoError(t, err)
	got, err := io.ReadAll(peer)
	require.NoError(t, err)
	assert.Equal(t, join(byeText, byeClose), got)
	assert.True(t, c.State().PeerSentClose)
}
