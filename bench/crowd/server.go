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

// A server has handlers that know nothing of lastcall: they number their messages, and end with their contexts.
type server struct {
	addr    string
	every   time.Duration // a message
	drainer *middleware.Drainer
	http    *http.Server
	ended   chan error // of serving

	mu   sync.Mutex // guards following
	cuts []cut
}

// A cut is what a handler saw that was stuck in a write.
type cut struct {
	at     time.Time // when its write failed
	cancel time.Time // when its context was to be cancelled
}

func serve(c config, d *middleware.Drainer) (*server, error) {
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
	go func() { s.ended <- s.http.Serve(narrow{l}) }()
	return s, nil
}

// close cuts what is left, which after a drain is nothing, and ends the server.
func (s *server) close() {
	_ = s.drainer.Close() // of handlers that ignore their contexts, which ours don't
	_ = s.http.Close()    // of listeners that were closed already
	<-s.ended
}

// cutOff tells what the handlers saw so far that were stuck.
func (s *server) cutOff() []cut {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.cuts)
}

// narrow makes connections that hold little, so that who writes to a peer that doesn't read is soon stuck.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
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
		return // it has answered
	}
	ctx, leave := context.WithCancel(r.Context())
	var talking sync.WaitGroup
	talking.Go(func() {
		s.tick(ctx, func(n int) error { return c.WriteMessage(websocket.TextMessage, fmt.Append(nil, n)) })
	})
	for err == nil {
		_, _, err = c.NextReader() // until the peer closes
	}
	leave()
	_ = c.Close()
	talking.Wait()
}

// tick says 0 at once, and then a number more each time, the first after a random part of it, until ctx ends.
func (s *server) tick(ctx context.Context, say func(n int) error) {
	next := time.NewTimer(rand.N(s.every))
	defer next.Stop()
	for n := 0; say(n) == nil; n++ {
		select {
		case <-next.C:
			next.Reset(s.every)
		case <-ctx.Done():
			return
		}
	}
}

// flood is more than a connection holds, and the beginning of an event that never ends.
var flood = append([]byte("data: "), bytes.Repeat([]byte("x"), 1<<20)...)

func (s *server) stuck(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush() // the write tells
	if _, err := w.Write(flood); err != nil {
		c := cut{at: time.Now()}
		c.cancel, _ = stream.Deadline(r.Context())
		s.mu.Lock()
		s.cuts = append(s.cuts, c)
		s.mu.Unlock()
	}
}
