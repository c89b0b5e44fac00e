package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/stream"
)

// A server has handlers that know nothing of lastcall: they send numbered messages until their
// context ends.
type server struct {
	addr    string
	every   time.Duration // the time between two messages
	drainer *middleware.Drainer
	http    *http.Server
	ended   chan error // what Serve returned

	mu   sync.Mutex // guards cuts
	cuts []cut
}

// A cut is what a handler saw whose write blocked because its client read nothing.
type cut struct {
	at     time.Time // when the write failed
	cancel time.Time // when its context was due to be canceled
}

func startServer(c config, d *middleware.Drainer) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("can't listen on loopback: %w", err)
	}
	s := &server{addr: l.Addr().String(), every: c.every, drainer: d, ended: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("/events", s.events)
	mux.HandleFunc("/socket", s.socket)
	mux.HandleFunc("/stuck", s.stuck)
	s.http = &http.Server{Handler: middleware.Graceful(d)(mux), ConnContext: d.ConnContext}
	go func() { s.ended <- s.http.Serve(smallBuffers{l}) }()
	return s, nil
}

// close ends the server and all that is left; after a drain that is nothing.
func (s *server) close() {
	_ = s.drainer.Close() // its error names handlers that ignore their context, and these don't
	_ = s.http.Close()    // its error is that the listener is closed already
	<-s.ended
}

// stuckCuts returns what the handlers of stuck streams have seen so far.
func (s *server) stuckCuts() []cut {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.cuts)
}

// smallBuffers is a listener whose connections buffer little, so that a write to a client that
// doesn't read blocks soon.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(16 << 10)
	}
	return c, err
}

func (s *server) events(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	s.tick(r.Context(), func(n int) error {
		_, err := fmt.Fprintf(w, "data: %d\n\n", n)
		return errors.Join(err, control.Flush())
	})
}

var upgrader = websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512}

func (s *server) socket(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has replied
	}
	ctx, cancel := context.WithCancel(r.Context())
	var sending sync.WaitGroup
	sending.Go(func() {
		s.tick(ctx, func(n int) error { return c.WriteMessage(websocket.TextMessage, fmt.Append(nil, n)) })
	})
	for err == nil {
		_, _, err = c.NextReader() // until the peer closes
	}
	cancel()
	_ = c.Close()
	sending.Wait()
}

// tick calls send with 0 at once and then with 1, 2, … every s.every, the first time after a random
// part of that, until ctx ends or send fails.
func (s *server) tick(ctx context.Context, send func(n int) error) {
	next := time.NewTimer(rand.N(s.every))
	defer next.Stop()
	for n := 0; send(n) == nil; n++ {
		select {
		case <-next.C:
			next.Reset(s.every)
		case <-ctx.Done():
			return
		}
	}
}

// flood is more than a connection buffers, and the beginning of an event that never ends.
var flood = append([]byte("data: "), bytes.Repeat([]byte("x"), 1<<20)...)

func (s *server) stuck(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush() // a failure shows in the write
	if _, err := w.Write(flood); err != nil {
		c := cut{at: time.Now()}
		c.cancel, _ = stream.Deadline(r.Context())
		s.mu.Lock()
		s.cuts = append(s.cuts, c)
		s.mu.Unlock()
	}
}
