package r3labs

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	r3 "github.com/r3labs/sse/v2"

	"github.com/lastcall-go/lastcall/sse"
	"github.com/lastcall-go/lastcall/stream"
)

// defaultPatience is what a zero [Handler.Patience] stands for.
const defaultPatience = 5 * time.Second

// A Handler serves the streams of a Server. Its fields must not change after its first request, and
// it must not be copied then. Its methods may be called concurrently.
//
// Under package middleware a response ends as soon as its context is canceled. Events are written
// whole, and none arrives after the farewell, so that its rule's Timeout can be policy.AtOnce.
type Handler struct {
	// Server is the library's. Publish to it as ever, but have only this Handler call its
	// ServeHTTP.
	Server *r3.Server
	// Patience is the time that writing one event to one subscriber may take; zero: 5 s. After it
	// the response ends. The library sends each event to one subscriber after the other, so one
	// that doesn't read delays the others by as much, once 64 events are queued for it.
	//
	// It is a write deadline for each event, in place of http.Server.WriteTimeout's for the whole
	// response. It has no effect if a middleware's writer has no Unwrap.
	Patience time.Duration

	lastSlotNumber atomic.Uint64 // last given with a refusal; the first, after Close, is random

	mu      sync.Mutex    // guards the following
	serving int           // calls of the library's ServeHTTP that haven't returned
	idle    chan struct{} // nil until Close is called; closed when serving is 0
}

// ServeHTTP has the library serve the stream that the request's query names, from the event after
// its Last-Event-ID. It ignores an id that the library can't have given, which the library would
// answer with 400, after which no EventSource comes back (WHATWG HTML 9.2.3).
//
// Once Close has been called it calls [sse.Refuse] with a reconnect slot of the request's rule.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		sse.Refuse(w, r, stream.From(r.Context()).Rule().Reconnect.Slot(h.lastSlotNumber.Add(1)))
		return
	}
	if _, ok := w.(http.Flusher); !ok {
		defer h.leave()
		h.Server.ServeHTTP(w, r) // it answers with 500: it can't stream
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := newOutlet(w.Header())
	defer close(out.gone)

	// The library's ServeHTTP returns only after its stream's loop has removed the subscriber,
	// which another subscriber may block. The response ends without waiting for it.
	returned := make(chan any, 1) // gets what the library's ServeHTTP has panicked with
	go func() {
		defer h.leave()
		defer func() { returned <- recover() }()
		h.Server.ServeHTTP(out, resume(r.Clone(ctx)))
	}()
	h.deliver(ctx, w, out, returned)
}

// deliver writes to w what the library writes to out, until either side ends.
func (h *Handler) deliver(ctx context.Context, w http.ResponseWriter, out *outlet, returned <-chan any) {
	control := http.NewResponseController(w)
	patience := cmp.Or(h.Patience, defaultPatience)
	for {
		select {
		case batch := <-out.batches:
			_ = control.SetWriteDeadline(time.Now().Add(patience))
			if batch.send(w) != nil || control.Flush() != nil {
				return
			}
			// HTTP/2 resets even an idle stream at its deadline.
			_ = control.SetWriteDeadline(time.Time{})
		case panicked := <-returned:
			if panicked != nil {
				panic(panicked)
			}
			_ = out.next.send(w)
			return
		case <-ctx.Done():
			return
		}
	}
}

// Close refuses new requests, waits until every call of the library's ServeHTTP has returned, and
// closes the Server. The drain makes them return: call Close after it, or meanwhile.
//
// When ctx ends first, Close returns an error that says how many were left. The Server stays open
// then, as its Close would leave their goroutines behind, and Close can be called again.
//
// Publish no event without data and comment right before Close: the library ends the responses of
// all subscribers on one, but doesn't remove them.
func (h *Handler) Close(ctx context.Context) error {
	h.mu.Lock()
	if h.idle == nil {
		h.idle = make(chan struct{})
		h.lastSlotNumber.Store(rand.Uint64()) // replicas must not give their first clients all the same slot
		if h.serving == 0 {
			close(h.idle)
		}
	}
	h.mu.Unlock()
	select {
	case <-h.idle: // which never changes again
	case <-ctx.Done():
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.serving > 0 {
			return fmt.Errorf("r3labs: close: %d subscribers are still there; close when their contexts have been canceled, after the drain: %w",
				h.serving, context.Cause(ctx))
		}
	}
	h.Server.Close()
	return nil
}

// enter reports whether a request may be served, which [Handler.leave] ends.
func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.idle != nil {
		return false
	}
	h.serving++
	return true
}

func (h *Handler) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serving--
	if h.serving == 0 && h.idle != nil {
		close(h.idle)
	}
}
