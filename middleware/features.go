package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// features are the optional interfaces that a writer has.
type features uint8

const (
	canFlush features = 1 << iota
	canHijack
	canNotify
	canRead
	canPush

	ofHTTP1 = canFlush | canHijack | canNotify | canRead // net/http's own
	ofHTTP2 = canFlush | canNotify | canPush
)

func featuresOf(w http.ResponseWriter) (has features) {
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
// is reached through Unwrap, as [http.ResponseController] does: see controls. WriteString is always
// there: where the wrapped one lacks it, it is Write. A writer with Flush has FlushError, so that
// no error of a flush is lost.
//
// The writers that stand for net/http's own hold one pointer, which costs no allocation. The rest,
// for the writers of other middleware, are put together from parts.
func (x *exchange) writer() http.ResponseWriter {
	p := plainWriter{x}
	f, h, c, r, s := flushWriter{p}, hijacker{x}, notifier{x}, reader{x}, pusher{x}
	switch featuresOf(x.w) {
	case ofHTTP1:
		return http1Writer{f}
	case ofHTTP2:
		return http2Writer{f}
	case canFlush:
		return f
	case canFlush | canHijack:
		return struct {
			flushWriter
			hijacker
		}{f, h}
	case canFlush | canNotify:
		return struct {
			flushWriter
			notifier
		}{f, c}
	case canFlush | canRead:
		return struct {
			flushWriter
			reader
		}{f, r}
	case canFlush | canPush:
		return struct {
			flushWriter
			pusher
		}{f, s}
	case canFlush | canHijack | canNotify:
		return struct {
			flushWriter
			hijacker
			notifier
		}{f, h, c}
	case canFlush | canHijack | canRead:
		return struct {
			flushWriter
			hijacker
			reader
		}{f, h, r}
	case canFlush | canHijack | canPush:
		return struct {
			flushWriter
			hijacker
			pusher
		}{f, h, s}
	case canFlush | canNotify | canRead:
		return struct {
			flushWriter
			notifier
			reader
		}{f, c, r}
	case canFlush | canRead | canPush:
		return struct {
			flushWriter
			reader
			pusher
		}{f, r, s}
	case canFlush | canHijack | canNotify | canPush:
		return struct {
			flushWriter
			hijacker
			notifier
			pusher
		}{f, h, c, s}
	case canFlush | canHijack | canRead | canPush:
		return struct {
			flushWriter
			hijacker
			reader
			pusher
		}{f, h, r, s}
	case canFlush | canNotify | canRead | canPush:
		return struct {
			flushWriter
			notifier
			reader
			pusher
		}{f, c, r, s}
	case canFlush | canHijack | canNotify | canRead | canPush:
		return struct {
			flushWriter
			hijacker
			notifier
			reader
			pusher
		}{f, h, c, r, s}
	case canHijack:
		return struct {
			plainWriter
			hijacker
		}{p, h}
	case canNotify:
		return struct {
			plainWriter
			notifier
		}{p, c}
	case canRead:
		return struct {
			plainWriter
			reader
		}{p, r}
	case canPush:
		return struct {
			plainWriter
			pusher
		}{p, s}
	case canHijack | canNotify:
		return struct {
			plainWriter
			hijacker
			notifier
		}{p, h, c}
	case canHijack | canRead:
		return struct {
			plainWriter
			hijacker
			reader
		}{p, h, r}
	case canHijack | canPush:
		return struct {
			plainWriter
			hijacker
			pusher
		}{p, h, s}
	case canNotify | canRead:
		return struct {
			plainWriter
			notifier
			reader
		}{p, c, r}
	case canNotify | canPush:
		return struct {
			plainWriter
			notifier
			pusher
		}{p, c, s}
	case canRead | canPush:
		return struct {
			plainWriter
			reader
			pusher
		}{p, r, s}
	case canHijack | canNotify | canRead:
		return struct {
			plainWriter
			hijacker
			notifier
			reader
		}{p, h, c, r}
	case canHijack | canNotify | canPush:
		return struct {
			plainWriter
			hijacker
			notifier
			pusher
		}{p, h, c, s}
	case canHijack | canRead | canPush:
		return struct {
			plainWriter
			hijacker
			reader
			pusher
		}{p, h, r, s}
	case canNotify | canRead | canPush:
		return struct {
			plainWriter
			notifier
			reader
			pusher
		}{p, c, r, s}
	case canHijack | canNotify | canRead | canPush:
		return struct {
			plainWriter
			hijacker
			notifier
			reader
			pusher
		}{p, h, c, r, s}
	}
	return p
}

// plainWriter has what every writer has.
type plainWriter struct{ x *exchange }

func (f plainWriter) Header() http.Header               { return f.x.w.Header() }
func (f plainWriter) WriteHeader(code int)              { f.x.writeHeader(code) }
func (f plainWriter) Write(p []byte) (int, error)       { return f.x.write(p) }
func (f plainWriter) WriteString(s string) (int, error) { return f.x.writeString(s) }
func (f plainWriter) Unwrap() http.ResponseWriter       { return f.x.controls() }

// flushWriter stands for a recorder, say.
type flushWriter struct{ plainWriter }

func (f flushWriter) Flush()            { _ = f.x.flush() }
func (f flushWriter) FlushError() error { return f.x.flush() }

// http1Writer stands for net/http's own writer for HTTP/1.
type http1Writer struct{ flushWriter }

func (f http1Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) { return f.x.hijack() }
func (f http1Writer) CloseNotify() <-chan bool                     { return notifier{f.x}.CloseNotify() }
func (f http1Writer) ReadFrom(src io.Reader) (int64, error)        { return f.x.readFrom(src) }

// http2Writer stands for net/http's own writer for HTTP/2.
type http2Writer struct{ flushWriter }

func (f http2Writer) CloseNotify() <-chan bool { return notifier{f.x}.CloseNotify() }
func (f http2Writer) Push(target string, o *http.PushOptions) error {
	return pusher{f.x}.Push(target, o)
}

// The parts of all other writers.
type (
	hijacker struct{ in *exchange }
	notifier struct{ in *exchange }
	reader   struct{ in *exchange }
	pusher   struct{ in *exchange }
)

func (p hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return p.in.hijack() }
func (p reader) ReadFrom(src io.Reader) (int64, error)          { return p.in.readFrom(src) }
func (p notifier) CloseNotify() <-chan bool {
	//lint:ignore SA1019 handlers still ask for it
	return p.in.w.(http.CloseNotifier).CloseNotify()
}
func (p pusher) Push(target string, o *http.PushOptions) error {
	return p.in.w.(http.Pusher).Push(target, o)
}
