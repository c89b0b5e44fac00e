package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A side is a server under test.
type side interface {
	// start serves l, until stop.
	start(l net.Listener, c config)
	// stop tells every stream goodbye and returns once nothing is left, with how many were told.
	stop(ctx context.Context) (told int, err error)
}

// A serverResult is what a server knows of its drain.
type serverResult struct {
	Began, Ended time.Time
	CPU          time.Duration // of its process, meanwhile
	Told         int
}

// serve runs a server until it is told to drain.
func serve(ctx context.Context, s side, in *json.Decoder, out *json.Encoder) error {
	var c config
	if err := in.Decode(&c); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("can't listen on loopback: %w", err)
	}
	s.start(l, c)
	var word string
	if err := errors.Join(out.Encode(l.Addr().String()), in.Decode(&word)); err != nil {
		return err
	}
	before := cpuTime()
	r := serverResult{Began: time.Now()}
	r.Told, err = s.stop(ctx)
	r.Ended, r.CPU = time.Now(), cpuTime()-before
	return errors.Join(err, out.Encode(r))
}

const first = "data: 0\n\n" // the first event of an event stream

var upgrader = websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512}

// wrapped has handlers that know nothing of lastcall.
type wrapped struct {
	d    *middleware.Drainer
	quit context.CancelFunc
	ran  chan error
}

func (s *wrapped) start(l net.Listener, c config) {
	mux := http.NewServeMux()
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, first)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		if ws, err := upgrader.Upgrade(w, r, nil); err == nil {
			defer ws.Close()
			_ = ws.WriteMessage(websocket.TextMessage, []byte("0")) // an error shows in the read, too
			readToEnd(ws)
		}
	})
	rules := &policy.Mux{Default: policy.Rule{Mercy: c.Mercy}}
	rules.Handle("/events", policy.Rule{Timeout: policy.AtOnce})
	s.d = &middleware.Drainer{Policy: rules}
	srv := &http.Server{Handler: middleware.Graceful(s.d)(mux)}
	ctx, cancel := context.WithCancel(context.Background())
	s.quit, s.ran = cancel, make(chan error, 1)
	go func() { s.ran <- s.d.Run(ctx, srv, func() error { return srv.Serve(l) }) }()
}

func (s *wrapped) stop(context.Context) (told int, err error) {
	s.quit()
	err = <-s.ran
	return int(s.d.Report().Told), err
}

// loop is a server as one writes it by hand: its streams are in a map, and it tells one after the
// other when it stops.
type loop struct {
	srv    *http.Server
	served chan error

	mu      sync.Mutex
	streams map[goodbyer]struct{} // guarded by mu
	open    sync.WaitGroup
}

type goodbyer interface{ goodbye() error }

func (s *loop) start(l net.Listener, _ config) {
	s.streams, s.served = make(map[goodbyer]struct{}), make(chan error, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		e := &loopEvents{w: w, quit: make(chan struct{})}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, first)
		w.(http.Flusher).Flush()
		defer s.enter(e)()
		select {
		case <-e.quit:
		case <-r.Context().Done():
			e.mu.Lock() // a farewell that is being written ends first
			e.over = true
			e.mu.Unlock()
		}
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		if ws, err := upgrader.Upgrade(w, r, nil); err == nil {
			defer ws.Close()
			_ = ws.WriteMessage(websocket.TextMessage, []byte("0")) // an error shows in the read, too
			defer s.enter(loopSocket{ws})()
			readToEnd(ws)
		}
	})
	s.srv = &http.Server{Handler: mux}
	go func() { s.served <- s.srv.Serve(l) }()
}

// enter makes g one of the streams, until the function that it returns is called.
func (s *loop) enter(g goodbyer) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[g] = struct{}{}
	s.open.Add(1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.streams, g)
		s.open.Done()
	}
}

func (s *loop) stop(ctx context.Context) (told int, err error) {
	s.mu.Lock()
	all := make([]goodbyer, 0, len(s.streams))
	for g := range s.streams {
		all = append(all, g)
	}
	s.mu.Unlock()
	for _, g := range all {
		if g.goodbye() == nil {
			told++
		}
	}
	s.open.Wait()
	err = s.srv.Shutdown(ctx)
	<-s.served
	return told, err
}

type loopEvents struct {
	w    http.ResponseWriter
	quit chan struct{}

	mu   sync.Mutex
	over bool // guarded by mu: the handler returns
}

func (e *loopEvents) goodbye() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return net.ErrClosed
	}
	defer close(e.quit)
	_, err := io.WriteString(e.w, "retry: 1000\nevent: shutdown\ndata: {\"retry\":1000}\n\n")
	return errors.Join(err, http.NewResponseController(e.w).Flush())
}

type loopSocket struct{ *websocket.Conn }

func (ws loopSocket) goodbye() error {
	text := websocket.FormatCloseMessage(websocket.CloseServiceRestart, "service restart; retry=1000")
	return ws.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second))
}

// readToEnd returns once the peer has answered a Close frame, or has gone.
func readToEnd(ws *websocket.Conn) {
	for err := error(nil); err == nil; {
		_, _, err = ws.NextReader()
	}
}
