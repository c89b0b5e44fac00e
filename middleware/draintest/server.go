package draintest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
)

// A Server is a server under a Drainer for one test. [NewServer] and [NewTLSServer] start it, and
// the end of the test ends it. Its methods may be called concurrently.
type Server struct {
	// URL is the server's, without a slash at its end: "http://127.0.0.1:12345".
	URL string

	t       testing.TB
	d       *middleware.Drainer
	calls   calls
	label   label
	address string          // to dial; empty: network
	network *memnet.Network // of a bubble
	ran     chan error      // receives what Drainer.Run returns
	stop    context.CancelFunc
	log     testLog

	mu         sync.Mutex        // guards transports
	transports []*http.Transport // of the clients
}

// NewServer serves h, wrapped by [middleware.Graceful] with d, by [middleware.Drainer.Run] on a
// free port of the loopback: HTTP/1.1, and HTTP/2 to clients that begin with it (h2c). A handler
// that is wrapped with d already, or has routes that are, is not tracked twice. d must be new.
//
// When the test ends, after the functions given to t.Cleanup since, the server is drained if the
// test hasn't done that, and shut down. The test fails if
//
//   - this drain cut a response, though its rule gave it time: each is named with its route, its age
//     and the line where its handler waits;
//   - a handler has not returned, or a connection that it hijacked is not closed;
//   - a goroutine of the server is left a second later: one that it, a handler or one of theirs has
//     started. It is found by its pprof labels, unless it has removed them.
//
// In a testing/synctest bubble the network is in memory, and a connection holds 4 KiB that its
// reader has not read. HTTP/2 in bubbles needs Go 1.26, and crashes in Go's runtime under the race
// detector.
//
// It fails the test at once where it can't listen.
func NewServer(t testing.TB, d *middleware.Drainer, h http.Handler) *Server {
	t.Helper()
	return startServer(t, d, h, false)
}

// NewTLSServer is NewServer with TLS: HTTP/1.1 and HTTP/2. The clients of the server trust its
// certificate, for any name that they ask for.
func NewTLSServer(t testing.TB, d *middleware.Drainer, h http.Handler) *Server {
	t.Helper()
	return startServer(t, d, h, true)
}

func startServer(t testing.TB, d *middleware.Drainer, h http.Handler, secure bool) *Server {
	t.Helper()
	s := newServer(t, d)
	s.serve(s.listen(), s.calls.follow(s.label, h), secure)
	t.Cleanup(s.end)
	return s
}

func newServer(t testing.TB, d *middleware.Drainer) *Server {
	return &Server{t: t, d: d, label: newLabel(), ran: make(chan error, 1), log: testLog{t: t}}
}

// listen makes the network.
func (s *Server) listen() net.Listener {
	s.t.Helper()
	if inBubble() {
		s.network = memnet.NewBuffered(4 << 10)
		return s.network
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l, err = net.Listen("tcp", "[::1]:0")
	}
	if err != nil {
		s.t.Fatalf("draintest: can't listen on the loopback: %v", err)
	}
	s.address = l.Addr().String()
	return l
}

func (s *Server) serve(l net.Listener, h http.Handler, secure bool) {
	srv := &http.Server{
		Handler:     middleware.Graceful(s.d)(h),
		ErrorLog:    log.New(&s.log, "", 0),
		BaseContext: func(net.Listener) context.Context { return s.label.context() },
		Protocols:   new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	serve := func() error { return srv.Serve(l) }
	scheme := "http"
	if secure {
		scheme = "https"
		srv.Protocols.SetHTTP2(true)
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
		serve = func() error { return srv.ServeTLS(l, "", "") }
	} else {
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	s.URL = scheme + "://" + cmp.Or(s.address, host)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.label.do(func() { s.ran <- s.d.Run(ctx, srv, serve) })
}

// Client returns a new client of the server, with connections of its own, over HTTP/1.1. It dials
// the server whatever the URL's host, and follows redirects as http.DefaultClient does. The
// server's end closes its idle connections.
func (s *Server) Client() *http.Client { return s.client(&http.Transport{DialContext: s.Dial}) }

// HTTP2Client is Client over HTTP/2.
func (s *Server) HTTP2Client() *http.Client {
	t := &http.Transport{DialContext: s.Dial, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	return s.client(t)
}

// client returns a client with t, over HTTP/1.1 unless t names protocols. t must not be changed
// after.
func (s *Server) client(t *http.Transport) *http.Client {
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is the one that we have made
	if t.Protocols == nil {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transports = append(s.transports, t)
	return &http.Client{Transport: t}
}

// Dial opens a connection to the server, whatever address says, without TLS. It fits
// http.Transport's DialContext and the NetDialContext of gorilla/websocket's Dialer;
// coder/websocket takes the [Server.Client]. Outside of a bubble it is that of a net.Dialer.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.network != nil {
		return s.network.Dial(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", s.address)
}

// end drains the server, and fails the test where that didn't go well.
func (s *Server) end() {
	s.t.Helper()
	ours := s.d.Report().Phase != middleware.Done // else the test has drained it, and judged that
	err := s.shutdown()
	var incomplete *middleware.IncompleteError
	if err != nil && !errors.As(err, &incomplete) {
		s.t.Errorf("draintest: %v", err)
	}
	for _, text := range s.calls.faults(ours) {
		s.t.Errorf("draintest: %s", text)
	}
	running := s.calls.running()
	for _, g := range s.label.left(time.Second) {
		if !running[g.call] { // else it has been named
			s.t.Errorf("draintest: a goroutine of the server is left: %s", g)
		}
	}
}

// shutdown drains the server, if nothing has, waits until it has ended and returns the error of
// Run.
func (s *Server) shutdown() error {
	s.stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	defer s.log.end()
	defer s.closeIdle()
	for {
		s.closeIdle() // of HTTP/2 clients, whose idle connections the server would wait for
		select {
		case err := <-s.ran:
			return err
		case <-tick.C:
			s.calls.look(s.label)
		}
	}
}

func (s *Server) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.transports {
		c.CloseIdleConnections()
	}
}

// inBubble reports whether the goroutine that calls it is in a testing/synctest bubble, which the
// first line of its stack says.
func inBubble() bool {
	var b [128]byte
	head, _, _ := bytes.Cut(b[:runtime.Stack(b[:], false)], []byte("\n"))
	return bytes.Contains(head, []byte("synctest"))
}

// A testLog writes what a server logs to its test's log, until that has ended.
type testLog struct {
	t     testing.TB
	mu    sync.Mutex // guards ended
	ended bool
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.t.Logf("%s", bytes.TrimSpace(p))
	}
	return len(p), nil
}

func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}
