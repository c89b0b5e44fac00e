package memnet_test

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
)

// An end is what the connections of a buffered network have beyond net.Conn.
type end interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

func pair(t *testing.T, size int) (client, server end) {
	network := memnet.NewBuffered(size)
	accepted := make(chan net.Conn)
	go func() {
		c, err := network.Accept()
		assert.NoError(t, err)
		accepted <- c
	}()
	c, err := network.Dial(t.Context(), "", "")
	require.NoError(t, err)
	return c.(end), (<-accepted).(end)
}

func TestWriterWaitsOnceTheBufferIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, 4)
		n, err := client.Write([]byte("1234"))
		require.NoError(t, err)
		assert.Equal(t, 4, n, "nobody reads yet")

		require.NoError(t, client.SetWriteDeadline(time.Now().Add(time.Second)))
		began := time.Now()
		n, err = client.Write([]byte("56"))
		assert.Zero(t, n)
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(began))

		require.NoError(t, client.SetWriteDeadline(time.Time{}))
		go func() {
			_, err := client.Write([]byte("567890"))
			assert.NoError(t, err)
			assert.NoError(t, client.CloseWrite())
		}()
		all, err := io.ReadAll(server)
		require.NoError(t, err)
		assert.Equal(t, "1234567890", string(all))
		_, err = server.Write([]byte("back"))
		assert.NoError(t, err, "only one direction is closed")
		assert.NoError(t, client.Close())
		_, err = server.Write([]byte("on"))
		assert.ErrorIs(t, err, syscall.EPIPE)
		assert.NoError(t, server.Close())
		assert.ErrorIs(t, server.Close(), net.ErrClosed)
	})
}

func TestDeadlineEndsARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, 4)
		defer server.Close()
		began := time.Now()
		require.NoError(t, client.SetDeadline(began.Add(time.Second)))
		time.AfterFunc(500*time.Millisecond, func() { assert.NoError(t, client.SetReadDeadline(began.Add(2*time.Second))) })
		_, err := client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, 2*time.Second, time.Since(began))

		time.AfterFunc(time.Second, func() { assert.NoError(t, client.Close()) })
		require.NoError(t, client.SetReadDeadline(time.Time{}))
		_, err = client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestResetIsNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, 4)
		_, err := server.Write([]byte("1234"))
		require.NoError(t, err)
		require.NoError(t, server.SetLinger(0))
		require.NoError(t, server.Close())
		_, err = client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = client.Write([]byte("1"))
		assert.ErrorIs(t, err, syscall.ECONNRESET)
		assert.NoError(t, client.Close())
	})
}
