package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// abilities are the optional interfaces that a writer has.
type abilities uint8

const (
	canFlush abilities = 1 << iota
	canHijack
	canNotify
	canRead
	canPush

	ofHTTP1 = canFlush | canHijack | canNotify | canRead // net/http's own
	ofHTTP2 = canFlush | canNotify | canPush
)

func abilitiesOf(w http.ResponseWriter) (has abilities) {
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

// A face is the http.ResponseWriter that a handler gets: an exchange with exactly
// those optional interfaces that the writer inside has. A false Flusher makes a
// stream that never arrives, a false Hijacker a 101 that nobody follows up, a
// missing CloseNotifier a panic in gin. What else the one inside can do is
// reached through Unwrap, as [http.ResponseController] does: see controls.
// WriteString is always there:
// where the one inside lacks it, it is Write. A face with Flush has FlushError,
// so that no error of a flush is lost.
//
// Those that net/http's own writers wear hold one pointer, which costs no
// allocation. The rest, for the writers of other middleware, are put together
// from parts.
func (x *exchange) face(has abilities) http.ResponseWriter {
	if has == ofHTTP1 { // most are
		return http1Face{flushFace{plainFace{x}}}
	}
	p := plainFace{x}
	f, h, c, r, s := flushFace{p}, hijacker{x}, notifier{x}, reader{x}, pusher{x}
	switch has {
	case ofHTTP2:
		return http2Face{f}
	case canFlush:
		return f
	case canFlush | canHijack:
		return struct {
			flushFace
			hijacker
		}{f, h}
	case canFlush | canNotify:
		return struct {
			flushFace
			notifier
		}{f, c}
	case canFlush | canRead:
		return struct {
			flushFace
			reader
		}{f, r}
	case canFlush | canPush:
		return struct {
			flushFace
			pusher
		}{f, s}
	case canFlush | canHijack | canNotify:
		return struct {
			flushFace
			hijacker
			notifier
		}{f, h, c}
	case canFlush | canHijack | canRead:
		return struct {
			flushFace
			hijacker
			reader
		}{f, h, r}
	case canFlush | canHijack | canPush:
		return struct {
			flushFace
			hijacker
			pusher
		}{f, h, s}
	case canFlush | canNotify | canRead:
		return struct {
			flushFace
			notifier
			reader
		}{f, c, r}
	case canFlush | canRead | canPush:
		return struct {
			flushFace
			reader
			pusher
		}{f, r, s}
	case canFlush | canHijack | canNotify | canPush:
		return struct {
			flushFace
			hijacker
			notifier
			pusher
		}{f, h, c, s}
	case canFlush | canHijack | canRead | canPush:
		return struct {
			flushFace
			hijacker
			reader
			pusher
		}{f, h, r, s}
	case canFlush | canNotify | canRead | canPush:
		return struct {
			flushFace
			notifier
			reader
			pusher
		}{f, c, r, s}
	case canFlush | canHijack | canNotify | canRead | canPush:
		return struct {
			flushFace
			hijacker
			notifier
			reader
			pusher
		}{f, h, c, r, s}
	case canHijack:
		return struct {
			plainFace
			hijacker
		}{p, h}
	case canNotify:
		return struct {
			plainFace
			notifier
		}{p, c}
	case canRead:
		return struct {
			plainFace
			reader
		}{p, r}
	case canPush:
		return struct {
			plainFace
			pusher
		}{p, s}
	case canHijack | canNotify:
		return struct {
			plainFace
			hijacker
			notifier
		}{p, h, c}
	case canHijack | canRead:
		return struct {
			plainFace
			hijacker
			reader
		}{p, h, r}
	case canHijack | canPush:
		return struct {
			plainFace
			hijacker
			pusher
		}{p, h, s}
	case canNotify | canRead:
		return struct {
			plainFace
			notifier
			reader
		}{p, c, r}
	case canNotify | canPush:
		return struct {
			plainFace
			notifier
			pusher
		}{p, c, s}
	case canRead | canPush:
		return struct {
			plainFace
			reader
			pusher
		}{p, r, s}
	case canHijack | canNotify | canRead:
		return struct {
			plainFace
			hijacker
			notifier
			reader
		}{p, h, c, r}
	case canHijack | canNotify | canPush:
		return struct {
			plainFace
			hijacker
			notifier
			pusher
		}{p, h, c, s}
	case canHijack | canRead | canPush:
		return struct {
			plainFace
			hijacker
			reader
			pusher
		}{p, h, r, s}
	case canNotify | canRead | canPush:
		return struct {
			plainFace
			notifier
			reader
			pusher
		}{p, c, r, s}
	case canHijack | canNotify | canRead | canPush:
		return struct {
			plainFace
			hijacker
			notifier
			reader
			pusher
		}{p, h, c, r, s}
	}
	return p
}

// plainFace is what every face has.
type plainFace struct{ x *exchange }

func (f plainFace) Header() http.Header               { return f.x.header() }
func (f plainFace) WriteHeader(code int)              { f.x.writeHeader(code) }
func (f plainFace) Write(p []byte) (int, error)       { return f.x.write(p) }
func (f plainFace) WriteString(s string) (int, error) { return f.x.writeString(s) }
func (f plainFace) Unwrap() http.ResponseWriter       { return f.x.controls() }

// flushFace is a recorder's.
type flushFace struct{ plainFace }

func (f flushFace) Flush()            { _ = f.x.flushError() }
func (f flushFace) FlushError() error { return f.x.flushError() }

// http1Face is that of an HTTP/1 response.
type http1Face struct{ flushFace }

func (f http1Face) Hijack() (net.Conn, *bufio.ReadWriter, error) { return f.x.hijack() }
func (f http1Face) CloseNotify() <-chan bool                     { return notifier{f.x}.CloseNotify() }
func (f http1Face) ReadFrom(src io.Reader) (int64, error)        { return f.x.readFrom(src) }

// http2Face is that of an HTTP/2 response.
type http2Face struct{ flushFace }

func (f http2Face) CloseNotify() <-chan bool { return notifier{f.x}.CloseNotify() }
func (f http2Face) Push(target string, o *http.PushOptions) error {
	return pusher{f.x}.Push(target, o)
}

// The parts of all other faces.
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
