package endings

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

const idHeader = "X-Exchange"

// inFront is the handler in front of Graceful.
func (ro *round) inFront(graceful http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := ro.find(r)
		x.mu.Lock()
		x.seen++
		x.mu.Unlock()
		ro.seen.Add(1)
		defer func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.endedAt = time.Now()
		}()
		switch x.middleOut {
		case "flush":
			w = flushOnly{w, w.(http.Flusher)}
		case "unwrap":
			w = unwrapOnly{w}
		case "buffer":
			b := &buffering{ResponseWriter: w}
			graceful.ServeHTTP(b, r)
			_ = b.FlushError()
			return
		}
		graceful.ServeHTTP(w, r)
	})
}

const (
	refusalStatus = http.StatusTooManyRequests
	refusalText   = "come back"
)

// refuse is the Drainer's Refusal.
func refuse(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(refusalStatus)
	_, _ = io.WriteString(w, refusalText)
}

// flushOnly loses the errors of Flush, as many a middleware does.
type flushOnly struct {
	http.ResponseWriter
	http.Flusher
}

type unwrapOnly struct{ w http.ResponseWriter }

func (u unwrapOnly) Header() http.Header         { return u.w.Header() }
func (u unwrapOnly) WriteHeader(code int)        { u.w.WriteHeader(code) }
func (u unwrapOnly) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u unwrapOnly) Unwrap() http.ResponseWriter { return u.w }

// buffering holds back what it is given until a Flush, as a compressor does.
type buffering struct {
	http.ResponseWriter
	held []byte
}

func (b *buffering) Write(p []byte) (int, error) {
	b.held = append(b.held, p...)
	return len(p), nil
}

func (b *buffering) FlushError() error {
	_, err := b.ResponseWriter.Write(b.held)
	b.held = nil
	return errors.Join(err, http.NewResponseController(b.ResponseWriter).Flush())
}

func (b *buffering) Flush()                      { _ = b.FlushError() }
func (b *buffering) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// handle is the handler inside of Graceful. What it waits for passes on the bubble's clock, but for
// rounds over the loopback.
func (ro *round) handle(w http.ResponseWriter, r *http.Request) {
	x := ro.find(r)
	x.mu.Lock()
	x.runs++
	x.response = tracked.From(r.Context())
	x.mu.Unlock()
	ro.inside.Add(1)
	defer ro.inside.Add(-1)
	x.lookBehind("the beginning")
	normal := false
	defer func() {
		if x.detached {
			return
		}
		x.lookBehind("the end")
		x.mu.Lock()
		defer x.mu.Unlock()
		x.returned, x.panicked = normal, !normal
	}()
	if x.tag != policy.Auto {
		stream.Tag(r.Context(), x.tag)
	}
	stream.From(r.Context()).Refine(x.refine)
	if x.own != nil {
		stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell {
			if x.ownPanics {
				panic(x.panic())
			}
			return *x.own
		})
	}
	if x.chore != nil {
		ro.handOver(x.chore, r)
	}
	if x.middleIn == "flush" {
		if f, ok := w.(http.Flusher); ok {
			w = struct {
				http.ResponseWriter
				http.Flusher
			}{w, f}
		}
	}
	switch {
	case x.upgrade != "" && x.proto == "2":
		w.Header().Set(idHeader, strconv.Itoa(x.id))
		w.WriteHeader(http.StatusOK)
		ro.talk(r.Context(), x, connectConn{w: w, body: r.Body}, bufio.NewReader(r.Body))
	case x.upgrade != "":
		ro.takeOver(x, w, r)
	case x.upload > 0:
		n, err := io.Copy(io.Discard, r.Body)
		if err == nil && int(n) == x.upload {
			x.say(r.Context(), w)
		}
	default:
		x.say(r.Context(), w)
	}
	normal = true
}

// look notes that the context has ended, as its handler sees it, and whether that wasn't the drain.
func (x *exchange) look(ctx context.Context, where string) (over bool) {
	if ctx.Err() == nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.canceled = true
	if cause := context.Cause(ctx); !errors.Is(cause, stream.ErrDraining) && x.deadAt == "" {
		x.deadAt = fmt.Sprintf("%s: %v", where, cause)
	}
	return true
}

// lookBehind notes whether net/http has ended its context, though the drain hasn't. The handler's
// own context isn't asked, which would tell the drain that the handler knows.
func (x *exchange) lookBehind(where string) {
	dead := x.response.Request().Context().Err()
	x.mu.Lock()
	defer x.mu.Unlock()
	if dead != nil && !x.response.Canceled() && x.deadAt == "" {
		x.deadAt = fmt.Sprintf("%s: %v", where, dead)
	}
}

func (x *exchange) panic() any {
	if x.aborts {
		return http.ErrAbortHandler
	}
	return "a handler's panic"
}

// A word is one thing that the handler writes.
type word struct {
	text string
	last bool
}

// begin is called before anything is written, and begun behind that: whether the cancel came before
// it is known only where it didn't come in between.
func (x *exchange) begin() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.first = !x.began
	x.began = true
}

func (x *exchange) begun() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.first {
		x.first, x.beganLate = false, x.response.Canceled()
	}
}

// write writes one word, and notes it.
func (x *exchange) write(w io.Writer, s word) error {
	x.begin()
	pieces := []string{s.text}
	if x.split && len(s.text) > 2 {
		cut := 1 + (x.id+x.wrote)%(len(s.text)-1)
		pieces = []string{s.text[:cut], s.text[cut:]}
	}
	var err error
	for _, p := range pieces {
		if x.readFrom {
			_, err = io.Copy(w, strings.NewReader(p))
		} else {
			_, err = io.WriteString(w, p)
		}
		if err != nil {
			break
		}
	}
	x.begun()
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err != nil:
		x.writeErr = cmp.Or(x.writeErr, err)
	case s.last:
		x.wroteLast = true
	case x.writeErr == nil:
		x.wrote++
	}
	return err
}

// wait waits for a moment. It returns false when the handler shall end.
func (x *exchange) wait(ctx context.Context, w http.ResponseWriter, d time.Duration, where string) bool {
	if d == 0 && x.manner == ignores {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	var draining, done <-chan struct{}
	if x.listens {
		draining = stream.Draining(ctx)
	}
	var gone <-chan bool
	switch x.manner {
	case ignores, untilErr:
	case notified:
		//lint:ignore SA1019 gin waits on it
		if n, ok := w.(http.CloseNotifier); ok {
			gone = n.CloseNotify()
		}
	default:
		done = ctx.Done()
	}
	select {
	case <-timer.C:
		return true
	case <-draining:
		return false
	case <-gone:
		x.look(ctx, where)
		return false
	case <-done:
		x.look(ctx, where)
		return false
	}
}

func (x *exchange) declare(h http.Header) {
	s := speeches[x.speaks]
	h.Set("Content-Type", s.contentType)
	h.Set(idHeader, strconv.Itoa(x.id))
	if x.encoded {
		h.Set("Content-Encoding", "gzip")
	}
	if x.length {
		n := len(s.last)
		for i := range x.units {
			n += len(s.unit(i, x.size))
		}
		h.Set("Content-Length", strconv.Itoa(n))
	}
}

// say answers.
func (x *exchange) say(ctx context.Context, w http.ResponseWriter) {
	s := speeches[x.speaks]
	if x.manner == answers {
		<-ctx.Done()
		x.look(ctx, "waiting for its end")
	} else if !x.wait(ctx, w, x.begins, "before the first byte") && x.manner == returns {
		return
	}
	if x.panicsAt == 0 {
		panic(x.panic())
	}
	x.declare(w.Header())
	if x.status != 0 {
		x.begin()
		w.WriteHeader(x.status)
		x.begun()
	}
	for i := range x.units {
		if i > 0 && i == x.panicsAt {
			panic(x.panic())
		}
		err := x.write(w, word{text: s.unit(i, x.size)})
		if x.flush > 0 && i%x.flush == 0 {
			err = errors.Join(err, http.NewResponseController(w).Flush())
		}
		if err != nil && x.manner != ignores {
			return
		}
		if x.manner == answers || x.wait(ctx, w, x.pause, "between two units") {
			continue
		}
		switch x.manner {
		case panics:
			panic(x.panic())
		case lingers:
			time.Sleep(x.pause)
			if x.length { // it says all that it has declared
				for i++; i < x.units; i++ {
					_ = x.write(w, word{text: s.unit(i, x.size)})
				}
			}
			_ = x.write(w, word{s.last, true})
			return
		}
		if x.listens && ctx.Err() == nil && !x.length { // it ends in order
			_ = x.write(w, word{s.last, true})
		}
		return
	}
	_ = x.write(w, word{s.last, true})
}
