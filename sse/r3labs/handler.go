package r3labs

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	r3 "github.com/r3labs/sse/v2"

	"github.com/lastcall-go/lastcall/sse"
	"github.com/lastcall-go/lastcall/stream"
)

// DefaultPatience is what a zero [Handler.Patience] stands for.
const DefaultPatience = 5 * time.Second

// A Handler serves the streams of a Server. Its fields must not change after its first request, and
// it must not be copied then. Its methods may be called concurrently.
//
// Under package middleware a response ends as soon as its context is canceled. Nothing that the
// library writes after the farewell arrives, and events go out whole, so policy.AtOnce is the
// Timeout for its rule.
type Handler struct {
	// Server is the library's. Publish to it as ever, but let nobody reach its ServeHTTP past this
	// Handler.
	Server *r3.Server
	// Patience is the time that one event has to get out to one subscriber; zero: 5 s. Who takes
	// longer is cut. The library hands each event to one subscriber after the other, so someone who
	// has stopped reading holds up the others for as long, once 64 events wait for them.
	//
	// It is a write deadline for each event, in place of what http.Server.WriteTimeout set for the
	// whole response. Where a middleware's writer has no Unwrap there is none, and Patience has no
	// effect.
	Patience time.Duration

	mu      sync.Mutex // guards following
	inside  int        // calls of the library's ServeHTTP that haven't returned
	empty   chan struct{}
	refused uint64
}

// ServeHTTP has the library serve the stream that the request's query names, from behind the event
// that its Last-Event-ID names. An id that the library can't have given is dropped rather than
// answered with 400, after which no EventSource would come back (WHATWG HTML 9.2.3).
//
// Once Close has been called it refuses with [sse.Refuse] and a reconnect slot of the request's
// rule.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		sse.Refuse(w, h.slot(r))
		return
	}
	if _, ok := w.(http.Flusher); !ok {
		defer h.leave()
		h.Server.ServeHTTP(w, r) // which says so, and no more
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := newOutlet(w.Header())
	defer close(out.gone)

	// The library leaves its ServeHTTP only when the stream's loop lets it go, and that may be held
	// up by another subscriber. The response mustn't be.
	over := make(chan any, 1)
	go func() {
		defer h.leave()
		defer func() { over <- recover() }()
		h.Server.ServeHTTP(out, resume(r.Clone(ctx)))
	}()
	h.deliver(ctx, w, out, over)
}

// deliver writes what the library puts out, until either side ends.
func (h *Handler) deliver(ctx context.Context, w http.ResponseWriter, out *outlet, over <-chan any) {
	control := http.NewResponseController(w)
	patience := cmp.Or(h.Patience, DefaultPatience)
	for {
		select {
		case batch := <-out.batches:
			_ = control.SetWriteDeadline(time.Now().Add(patience))
			if batch.send(w) != nil || control.Flush() != nil {
				return
			}
			// HTTP/2 would reset the stream at its deadline, however idle.
			_ = control.SetWriteDeadline(time.Time{})
		case panicked := <-over:
			if panicked != nil {
				panic(panicked)
			}
			_ = out.take().send(w)
			return
		case <-ctx.Done():
			return
		}
	}
}

// Close waits until every subscriber has left the library, and then closes its Server. The drain is
// what makes them leave: call Close after it, or meanwhile. Requests that come from now on are
// refused.
//
// When ctx ends first, its error says how many were still there. The Server is left open then, as
// closing it would strand them, and Close can be called again.
//
// One case escapes it: an event with neither data nor comment, at which the library ends the
// responses of all subscribers without their having left. Publish none right before Close.
func (h *Handler) Close(ctx context.Context) error {
	select {
	case <-h.close():
	case <-ctx.Done():
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.inside > 0 {
			return fmt.Errorf("r3labs: close: %d subscribers are still there; close when their contexts have been canceled, after the drain: %w",
				h.inside, context.Cause(ctx))
		}
	}
	h.Server.Close()
	return nil
}

// close ends admission, and gives what is closed when nobody is inside.
func (h *Handler) close() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.empty == nil {
		h.empty = make(chan struct{})
		if h.inside == 0 {
			close(h.empty)
		}
	}
	return h.empty
}

func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.empty != nil {
		return false
	}
	h.inside++
	return true
}

func (h *Handler) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inside--
	if h.inside == 0 && h.empty != nil {
		close(h.empty)
	}
}

func (h *Handler) slot(r *http.Request) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused++
	return stream.From(r.Context()).Rule().Reconnect.Slot(h.refused)
}
