package draintest

import (
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
)

func TestStuckPeerHoldsUpItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed tb
		blocked := make(chan error, 1)
		s := NewServer(&failed, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			assert.Equal(t, "some text", string(body))
			assert.Equal(t, "1", r.Header.Get("X"))
			_, err := w.Write(make([]byte, 64<<10))
			blocked <- err
		}))
		c, err := Stuck(s.Dial, "", "POST /stuck\nX: 1\n\nsome text")
		require.NoError(t, err)
		time.Sleep(time.Hour)
		assert.Empty(t, blocked, "it waits for its reader")
		assert.Contains(t, failed.end(), "POST /stuck had to be cut")
		assert.Error(t, <-blocked)
		require.NoError(t, c.Close())

		_, err = Stuck(s.Dial, "", "stuck")
		assert.ErrorContains(t, err, `"stuck" is no route`)
	})
}

func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go func() {
			_, _ = server.Write(make([]byte, 100))
			server.Close()
		}()
		began := time.Now()
		all, err := io.ReadAll(Slow(client, 10, time.Second))
		require.NoError(t, err)
		assert.Len(t, all, 100)
		assert.Equal(t, 11*time.Second, time.Since(began))

		client, server = net.Pipe()
		defer server.Close()
		c := Slow(client, 10, time.Hour)
		began = time.Now()
		time.AfterFunc(time.Second, func() { assert.NoError(t, c.Close()) })
		_, err = c.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.ErrClosedPipe)
		assert.Equal(t, time.Second, time.Since(began))
	})
}

func TestVanishIsAReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	peer, err := l.Accept()
	require.NoError(t, err)
	defer peer.Close()
	require.NoError(t, Vanish(Slow(c, 1, 0).(*slow).Conn))
	_, err = peer.Read(make([]byte, 1))
	assert.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestDelayedListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		l := Delay(network, time.Second)
		dial := func() {
			c, err := network.Dial(t.Context(), "", "")
			if assert.NoError(t, err) {
				t.Cleanup(func() { c.Close() })
			}
		}
		began := time.Now()
		go dial()
		c, err := l.Accept()
		require.NoError(t, err)
		defer c.Close()
		assert.Equal(t, time.Second, time.Since(began))

		go dial()
		time.AfterFunc(time.Millisecond, func() { assert.NoError(t, l.Close()) })
		_, err = l.Accept()
		assert.ErrorIs(t, err, net.ErrClosed)
		assert.Equal(t, time.Second+time.Millisecond, time.Since(began))
	})
}
