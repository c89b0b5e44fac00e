package recipes

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
)

// server returns a server for a free port, and a channel that gets its URL once it serves.
func server(h http.Handler) (*http.Server, <-chan string) {
	url := make(chan string, 1)
	return &http.Server{Addr: "127.0.0.1:0", Handler: h, BaseContext: func(l net.Listener) context.Context {
		url <- fmt.Sprintf("http://%s/", l.Addr())
		return context.Background()
	}}, url
}

// The admin server answers until the drain is over.
func TestErrgroup(t *testing.T) {
	release := make(chan struct{})
	d := &middleware.Drainer{}
	app, appURL := server(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		<-release
	})))
	admin, adminURL := server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, d.Report().Phase)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- Errgroup(ctx, d, app, admin) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(<-appURL)
	require.NoError(t, err)
	defer res.Body.Close()
	metrics := <-adminURL

	cancel()
	<-d.Draining()
	status, body, err := get(metrics)
	assert.NoError(t, err)
	assert.Equal(t, http.StatusOK, status)
	assert.NotEqual(t, string(middleware.Serving), body)
	assert.NotEqual(t, string(middleware.Done), body)
	close(release)
	assert.NoError(t, <-ran)
	_, _, err = get(metrics)
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	assert.EqualValues(t, 1, d.Report().Completed)
}

// The error of the server that fails first is returned, and the other one ends.
func TestErrgroupWhoseServerFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, fails := range []string{"app", "admin"} {
		t.Run(fails, func(t *testing.T) {
			d := &middleware.Drainer{}
			app, _ := server(middleware.Graceful(d)(http.NotFoundHandler()))
			admin, _ := server(http.NotFoundHandler())
			map[string]*http.Server{"app": app, "admin": admin}[fails].Addr = taken.Addr().String()
			assert.ErrorIs(t, Errgroup(context.Background(), d, app, admin), syscall.EADDRINUSE)
		})
	}
}
