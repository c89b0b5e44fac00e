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
	flush abilities = 1 << iota
	hijack
	notify
	read
	push

	ofHTTP1 = flush | hijack | notify | read // net/http's own
	ofHTTP2 = flush | notify | push
)

func abilitiesOf(w http.ResponseWriter) (has abilities) {
	if _, ok := w.(http.Flusher); ok {
		has |= flush
	}
	if _, ok := w.(http.Hijacker); ok {
		has |= hijack
	}
	//lint:ignore SA1019 handlers still ask for it
	if _, ok := w.(http.CloseNotifier); ok {
		has |= notify
	}
	if _, ok := w.(io.ReaderFrom); ok {
		has |= read
	}
	if _, ok := w.(http.Pusher); ok {
		has |= push
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
	case flush:
		return f
	case flush | hijack:
		return struct {
			flushFace
			hijacker
		}{f, h}
	case flush | notify:
		return struct {
			flushFace
			notifier
		}{f, c}
	case flush | read:
		return struct {
			flushFace
			reader
		}{f, r}
	case flush | push:
		return struct {
			flushFace
			pusher
		}{f, s}
	case flush | hijack | notify:
		return struct {
			flushFace
			hijacker
			notifier
		}{f, h, c}
	case flush | hijack | read:
		return struct {
			flushFace
			hijacker
			reader
		}{f, h, r}
	case flush | hijack | push:
		return struct {
			flushFace
			hijacker
			pusher
		}{f, h, s}
	case flush | notify | read:
		return struct {
			flushFace
			notifier
			reader
		}{f, c, r}
	case flush | read | push:
		return struct {
			flushFace
			reader
			pusher
		}{f, r, s}
	case flush | hijack | notify | push:
		return struct {
			flushFace
			hijacker
			notifier
			pusher
		}{f, h, c, s}
	case flush | hijack | read | push:
		return struct {
			flushFace
			hijacker
			reader
			pusher
		}{f, h, r, s}
	case flush | notify | read | push:
		return struct {
			flushFace
			notifier
			reader
			pusher
		}{f, c, r, s}
	case flush | hijack | notify | read | push:
		return struct {
			flushFace
			hijacker
			notifier
			reader
			pusher
		}{f, h, c, r, s}
	case hijack:
		return struct {
			plainFace
			hijacker
		}{p, h}
	case notify:
		return struct {
			plainFace
			notifier
		}{p, c}
	case read:
		return struct {
			plainFace
			reader
		}{p, r}
	case push:
		return struct {
			plainFace
			pusher
		}{p, s}
	case hijack | notify:
		return struct {
			plainFace
			hijacker
			notifier
		}{p, h, c}
	case hijack | read:
		return struct {
			plainFace
			hijacker
			reader
		}{p, h, r}
	case hijack | push:
		return struct {
			plainFace
			hijacker
			pusher
		}{p, h, s}
	case notify | read:
		return struct {
			plainFace
			notifier
			reader
		}{p, c, r}
	case notify | push:
		return struct {
			plainFace
			notifier
			pusher
		}{p, c, s}
	case read | push:
		return struct {
			plainFace
			reader
			pusher
		}{p, r, s}
	case hijack | notify | read:
		return struct {
			plainFace
			hijacker
			notifier
			reader
		}{p, h, c, r}
	case hijack | notify | push:
		return struct {
			plainFace
			hijacker
			notifier
			pusher
		}{p, h, c, s}
	case hijack | read | push:
		return struct {
			plainFace
			hijacker
			reader
			pusher
		}{p, h, r, s}
	case notify | read | push:
		return struct {
			plainFace
			notifier
			reader
			pusher
		}{p, c, r, s}
	case hijack | notify | read | push:
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
