package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

// The optional interfaces that a writer can have.
const (
	canFlush = 1 << iota
	canHijack
	canCloseNotify
	canReadFrom
	canPush

	http1Features = canFlush | canHijack | canCloseNotify | canReadFrom // of net/http's own writer
)

//go:generate bash -c "bash ../.ci/features > features_generated.go"

// featuresOf returns the optional interfaces that w has, as a sum of the constants above.
func featuresOf(w http.ResponseWriter) (has int) {
	if _, ok := w.(http.Flusher); ok {
		has |= canFlush
	}
	if _, ok := w.(http.Hijacker); ok {
		has |= canHijack
	}
	//lint:ignore SA1019 handlers still ask for it
	if _, ok := w.(http.CloseNotifier); ok {
		has |= canCloseNotify
	}
	if _, ok := w.(io.ReaderFrom); ok {
		has |= canReadFrom
	}
	if _, ok := w.(http.Pusher); ok {
		has |= canPush
	}
	return has
}

// writer returns what the handler writes to: a writer with exactly those optional interfaces that
// the wrapped one has. With a Flusher that can't flush a stream would never arrive, with a Hijacker
// that can't hijack a WebSocket would fail after its 101, and without CloseNotifier gin panics.
// Each also has WriteString and Unwrap (see unwrapped), and if it has Flush, FlushError.
//
// http1Writer holds one pointer, so that making one costs no allocation. All others are put
// together from the interfaces themselves, see writerWith.
func (x *exchange) writer() http.ResponseWriter {
	has := featuresOf(x.w)
	if has == http1Features {
		return http1Writer{flushWriter{plainWriter{x}}}
	}
	return x.writerWith(has)
}

type plainWriter struct{ x *exchange }

func (w plainWriter) Header() http.Header               { return w.x.w.Header() }
func (w plainWriter) WriteHeader(code int)              { w.x.writeHeader(code) }
func (w plainWriter) Write(p []byte) (int, error)       { return w.x.write(p) }
func (w plainWriter) WriteString(s string) (int, error) { return w.x.writeString(s) }
func (w plainWriter) Unwrap() http.ResponseWriter       { return w.x.unwrapped() }

// carries reports whether the writer's response is r.
func (w plainWriter) carries(r *tracked.Response) bool { return &w.x.Response == r }

type flushWriter struct{ plainWriter }

func (w flushWriter) Flush()            { _ = w.x.flush() }
func (w flushWriter) FlushError() error { return w.x.flush() }

// http1Writer stands for net/http's own writer for HTTP/1. As a single one of its interfaces it is
// also a part of other writers.
type http1Writer struct{ flushWriter }

func (w http1Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.x.hijack() }
func (w http1Writer) CloseNotify() <-chan bool                     { return w.x.closeNotify() }
func (w http1Writer) ReadFrom(src io.Reader) (int64, error)        { return w.x.readFrom(src) }
