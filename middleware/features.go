package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// The optional interfaces that a writer can have.
const (
	canFlush = 1 << iota
	canHijack
	canNotify
	canRead
	canPush

	ofHTTP1 = canFlush | canHijack | canNotify | canRead // net/http's own writers
	ofHTTP2 = canFlush | canNotify | canPush
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
		has |= canNotify
	}
	if _, ok := w.(io.ReaderFrom); ok {
		has |= canRead
	}
	if _, ok := w.(http.Pusher); ok {
		has |= canPush
	}
	return has
}

// writer returns what the handler writes to: a writer with exactly those optional interfaces that
// the wrapped one has. A false Flusher makes a stream that never arrives, a false Hijacker a 101
// that nobody follows up, a missing CloseNotifier a panic in gin. What else the wrapped one can do
// is reached through Unwrap: see controls. WriteString is always there, and with Flush FlushError.
//
// The writers that stand for net/http's own hold one pointer, which costs no allocation. The rest,
// for the writers of other middleware, are put together from parts.
func (x *exchange) writer() http.ResponseWriter {
	f := flushWriter{plainWriter{x}}
	switch has := featuresOf(x.w); has {
	case ofHTTP1:
		return http1Writer{f}
	case ofHTTP2:
		return http2Writer{f}
	default:
		return x.writerWith(has)
	}
}

type plainWriter struct{ x *exchange }

func (f plainWriter) Header() http.Header               { return f.x.w.Header() }
func (f plainWriter) WriteHeader(code int)              { f.x.writeHeader(code) }
func (f plainWriter) Write(p []byte) (int, error)       { return f.x.write(p) }
func (f plainWriter) WriteString(s string) (int, error) { return f.x.writeString(s) }
func (f plainWriter) Unwrap() http.ResponseWriter       { return f.x.controls() }

type flushWriter struct{ plainWriter }

func (f flushWriter) Flush()            { _ = f.x.flush() }
func (f flushWriter) FlushError() error { return f.x.flush() }

// http1Writer stands for net/http's own writer for HTTP/1.
type http1Writer struct{ flushWriter }

func (f http1Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) { return f.x.hijack() }
func (f http1Writer) CloseNotify() <-chan bool                     { return f.x.closeNotify() }
func (f http1Writer) ReadFrom(src io.Reader) (int64, error)        { return f.x.readFrom(src) }

// http2Writer stands for net/http's own writer for HTTP/2.
type http2Writer struct{ flushWriter }

func (f http2Writer) CloseNotify() <-chan bool                      { return f.x.closeNotify() }
func (f http2Writer) Push(target string, o *http.PushOptions) error { return f.x.push(target, o) }

// The parts of all other writers.
type (
	hijacker struct{ in *exchange }
	notifier struct{ in *exchange }
	reader   struct{ in *exchange }
	pusher   struct{ in *exchange }
)

func (p hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return p.in.hijack() }
func (p notifier) CloseNotify() <-chan bool                     { return p.in.closeNotify() }
func (p reader) ReadFrom(src io.Reader) (int64, error)          { return p.in.readFrom(src) }
func (p pusher) Push(target string, o *http.PushOptions) error  { return p.in.push(target, o) }

//lint:ignore SA1019 handlers still ask for it
func (x *exchange) closeNotify() <-chan bool { return x.w.(http.CloseNotifier).CloseNotify() }

func (x *exchange) push(target string, o *http.PushOptions) error {
	return x.w.(http.Pusher).Push(target, o)
}
