package memnet_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
)

func TestServerAndClientMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
		})}
		served := make(chan error)
		go func() { served <- srv.Serve(network) }()
		client := &http.Client{Transport: &http.Transport{DialContext: network.Dial}}
		for range 2 {
			res, err := client.Get("http://memory/")
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			assert.Equal(t, "hello", string(body))
			client.CloseIdleConnections()
		}
		require.NoError(t, srv.Close())
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
}

func TestCloseEndsAcceptAndDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		time.AfterFunc(time.Second, func() { assert.NoError(t, network.Close()) })
		_, err := network.Accept()
		assert.ErrorIs(t, err, net.ErrClosed)
		_, err = network.Dial(t.Context(), "", "")
		assert.ErrorIs(t, err, net.ErrClosed)
		assert.NoError(t, network.Close(), "a second time")
	})
}

func TestDialEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := memnet.New().Dial(ctx, "", "")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
