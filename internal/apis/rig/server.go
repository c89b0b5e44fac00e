// Package rig has the servers, the rounds and the Node.js clients of the tests in this module.
package rig

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
)

// A Server is an http.Server on loopback that Drainer.Run serves, with HTTP/1.1 and, without TLS,
// HTTP/2.
type Server struct {
	Addr string // host and port
	D    *middleware.Drainer
	Done chan struct{} // closed when Run has returned

	stop context.CancelFunc
	err  error // of Run; may be read once Done is closed
}

// Serve serves h at addr under d until Drain, or the end of the test.
func Serve(tb testing.TB, addr string, d *middleware.Drainer, h http.Handler) *Server {
	tb.Helper()
	ln := listen(tb, addr)
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{Addr: ln.Addr().String(), D: d, Done: make(chan struct{}), stop: stop}
	srv := &http.Server{Handler: middleware.Graceful(d)(h), Protocols: protocols(true, true), ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(s.Done)
		s.err = d.Run(ctx, srv, func() error { return srv.Serve(ln) })
	}()
	tb.Cleanup(func() { s.Drain(tb) })
	return s
}

// listen waits for the address to be free: a connection of the server before may take a moment to
// end.
func listen(tb testing.TB, addr string) net.Listener {
	tb.Helper()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for began := time.Now(); ; <-retry.C {
		ln, err := net.Listen("tcp", addr)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Since(began) > Limit {
			require.NoError(tb, err)
			return ln
		}
	}
}

// Begin begins the drain, as a signal would.
func (s *Server) Begin() { s.stop() }

// Drain begins the drain if Begin has not, waits for its end, and returns its report. Run has to
// return nil.
func (s *Server) Drain(tb testing.TB) middleware.Report {
	tb.Helper()
	s.stop()
	<-s.Done
	assert.NoError(tb, s.err)
	return s.D.Report()
}

// Transport returns a client's side: of HTTP/1.1, or of HTTP/2 without TLS. It ends with the test.
func Transport(tb testing.TB, h2 bool) *http.Transport {
	t := &http.Transport{Protocols: protocols(!h2, h2)}
	tb.Cleanup(t.CloseIdleConnections)
	return t
}

func protocols(h1, h2 bool) *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(h1)
	p.SetUnencryptedHTTP2(h2)
	return &p
}
