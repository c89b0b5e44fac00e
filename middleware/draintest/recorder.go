package draintest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/lastcall-go/lastcall/internal/request"
)

// A recorder stands between Graceful and the handler, and notes what the handler does. It calls
// onMoment at a moment of the handler's first call.
type recorder struct {
	onMoment func() // has the drain begun, and returns once that ends responses
	moment   moment

	mu         sync.Mutex // guards following
	started    bool       // the first call has come
	writes     int        // of the first call
	wroteAfter string     // who wrote after the handler had returned; empty: nobody
	panicked   string     // with what, and where
}

// A moment is when the drain begins, in the first call of the handler. The zero one never comes.
type moment struct {
	first  bool // before the handler is called
	write  int  // after the write of that number
	middle bool // after half of it
}

// wrap returns h with its calls recorded.
func (rec *recorder) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec.mu.Lock()
		first := !rec.started
		rec.started = true
		rec.mu.Unlock()
		rw := &writer{ResponseWriter: w, rec: rec, first: first}
		defer func() {
			rw.returned.Store(true)
			if v := recover(); v != nil {
				if v != http.ErrAbortHandler {
					rec.set(&rec.panicked, fmt.Sprintf("%v, in %s", v, callers()))
				}
				panic(v)
			}
		}()
		if first && rec.moment.first {
			rec.onMoment()
		}
		if request.ProtocolOf(r) == request.GRPC {
			defer request.AsHTTP2(w, r)()
		}
		h.ServeHTTP(rw, r)
	})
}

func (rec *recorder) set(text *string, to string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if *text == "" {
		*text = to
	}
}

func (rec *recorder) get() (writes int, wroteAfter, panicked string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.writes, rec.wroteAfter, rec.panicked
}

// write writes p to w, and calls onMoment if the moment is in this write or after it.
func (rec *recorder) write(first bool, w io.Writer, p []byte) (n int, err error) {
	now := false
	if first && len(p) > 0 {
		rec.mu.Lock()
		rec.writes++
		now = rec.writes == rec.moment.write
		rec.mu.Unlock()
	}
	if now && rec.moment.middle && len(p) > 1 {
		if n, err = w.Write(p[:len(p)/2]); err != nil {
			return n, err
		}
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		rec.onMoment()
		p, now = p[n:], false
	}
	m, err := w.Write(p)
	if now {
		rec.onMoment()
	}
	return n + m, err
}

// callers returns the program's lines in the caller's stack.
func callers() string {
	var stack [64]uintptr
	return programLines(frames(stack[:runtime.Callers(3, stack[:])]))
}

// A writer has what net/http's for HTTP/1 has, with which the drill serves.
type writer struct {
	http.ResponseWriter
	rec      *recorder
	first    bool // it is of the first call
	returned atomic.Bool
}

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// check notes a use after the handler has returned.
func (w *writer) check() {
	if w.returned.Load() {
		w.rec.set(&w.rec.wroteAfter, callers())
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.check()
	return w.rec.write(w.first, w.ResponseWriter, p)
}

func (w *writer) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r)
}

func (w *writer) Flush() { _ = w.FlushError() }

func (w *writer) FlushError() error {
	w.check()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *writer) CloseNotify() <-chan bool {
	//lint:ignore SA1019 handlers wait on it
	return w.ResponseWriter.(http.CloseNotifier).CloseNotify()
}

func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, brw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return c, brw, err
	}
	taken := &hijackedConn{c, w}
	brw.Writer.Reset(taken)
	return taken, brw, nil
}

// A hijackedConn is one that the handler has taken over.
type hijackedConn struct {
	net.Conn
	w *writer
}

func (c *hijackedConn) Write(p []byte) (int, error) { return c.w.rec.write(c.w.first, c.Conn, p) }

func (c *hijackedConn) NetConn() net.Conn { return c.Conn }

func (c *hijackedConn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported
}
