package middleware

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// errOver is what a write meets that comes after its handler returned. net/http
// leaves that undefined; its buffers belong to another request by then.
var errOver = fmt.Errorf("middleware: response used after the handler returned: %w", http.ErrHandlerTimeout)

// errCut is what a write meets that comes after the cut.
var errCut = fmt.Errorf("middleware: write to a response that the drain has cut: %w", net.ErrClosed)

// writeHeader is the handler's WriteHeader.
func (x *exchange) writeHeader(code int) {
	if !x.turn.take() {
		if x.isAround() {
			x.w.WriteHeader(code)
		}
		return
	}
	defer x.yield()
	switch {
	case x.said:
		return
	case x.hijacked() && x.complain("response.WriteHeader on hijacked connection"):
		return
	case x.committed && x.complain("superfluous response.WriteHeader call"):
		return
	case code >= 200 && code <= 999 || code == http.StatusSwitchingProtocols:
		x.commit(code)
	} // else informational, which is neither final nor a sign of anything, or a panic's to be
	x.w.WriteHeader(code)
}

// header is the handler's Header. What comes into it after the commit doesn't go
// out, so a look that was put off is due first. net/http's own Header, too, is not
// for use beside a Write: so committed and looked may be read without the turn.
func (x *exchange) header() http.Header {
	if x.inside == innerUntouched {
		x.inside = innerAsked
		if x.committed && !x.looked && x.turn.take() {
			x.look()
			x.yield()
		}
	}
	return x.w.Header()
}

// commit takes note that a final status is about to go out. The turn must be
// held by the caller.
func (x *exchange) commit(code int) {
	if x.committed || x.hijacked() {
		return
	}
	x.committed, x.code = true, int16(code)
	x.late = x.Cancelled()
	x.bodiless = x.Request().Method == http.MethodHead || code == http.StatusNoContent || code == http.StatusNotModified
	draining := x.d.draining()
	if draining && code != http.StatusSwitchingProtocols {
		x.w.Header().Set("Connection", "close") // RFC 9112, section 9.6; over HTTP/2 net/http sends GOAWAY for it
	}
	switch {
	case x.inside == innerUntouched && !draining:
	case x.inside == innerForeign && len(x.w.Header()) == 0 && x.Request().Method != http.MethodConnect:
		x.looked, x.inside = true, innerMute // it says nothing but what the response is taken for anyway
	default:
		x.look()
	}
}

// look takes from the header what kind of response this is. It is put off while the
// handler has not asked for the header: it has set nothing in it then, somebody
// around us may have, and net/http would make a copy for our asking. When the header
// leaves, where we know when that is, is early enough. The turn must be held by the
// caller.
func (x *exchange) look() {
	x.looked = true
	h := x.w.Header()
	if length := firstValue(h, "Content-Length"); length != "" {
		if n, err := strconv.ParseInt(length, 10, 64); err == nil {
			x.declared = n
		}
	}
	kind, protocol := policy.Finite, stream.HTTP
	// A body of a known length ends by itself. A HEAD's handler may run on like
	// that of the GET, though nobody sees what it writes.
	if x.declared < 0 && (!x.bodiless || x.Request().Method == http.MethodHead) {
		kind, protocol = x.recognise(h)
	}
	if x.tail.followed() && (x.bodiless || x.written > 0 && x.tail.follow != &x.events) {
		x.tail.follow, protocol = nil, stream.HTTP // what we haven't seen we can't follow
	}
	x.Settle(kind, protocol, x.req.Pattern)
}

// firstValue is h.Get for a name in its canonical form, which Get would bring it into
// anew each time: that takes longer than to find it.
func firstValue(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// begin is what each write does first: it tells whether the body's next n bytes
// are swallowed or refused instead of written, and with what answer. The turn
// must be held by the caller.
func (x *exchange) begin(n int) (answer int, err error, instead bool) {
	switch {
	case x.cut.Load():
		return 0, errCut, true // so that one who hears of nothing else ends
	case x.said:
		return n, nil, true
	case n > 0 && x.hijacked() && x.complain("response.Write on hijacked connection"):
		return 0, http.ErrHijacked, true
	}
	x.commit(http.StatusOK)
	return 0, nil, false
}

// write is the handler's Write.
func (x *exchange) write(p []byte) (int, error) {
	if !x.turn.take() {
		if x.isAround() {
			return x.w.Write(p)
		}
		return x.tooLate(len(p))
	}
	defer x.yield()
	if n, err, instead := x.begin(len(p)); instead {
		return n, err
	}
	if x.tail.awaited() && x.tail.followed() {
		return x.writeThenSay(p)
	}
	return x.pass(p)
}

// tooLate answers a write of n bytes that comes when the turn is over. Whether
// the farewell was said doesn't change any more.
func (x *exchange) tooLate(n int) (int, error) {
	if x.said || x.turn.state.Load() == turnAnswered {
		return n, nil
	}
	return 0, errOver
}

// inOneGo is how long a body can be that net/http holds back until its handler
// returns or flushes. What is longer it sends in pieces.
const inOneGo = 2048

// wrote counts what was written. What net/http may hold back hasn't moved yet, and
// needs no look at the clock, which for a short body would be the dearest part. What
// another writer holds back we can't know, so with one a stream's counts as moved at
// once.
func (x *exchange) wrote(n int64) {
	x.written += n
	if n > inOneGo-int64(x.held) || n > 0 && x.inside >= innerForeign && x.tail != nil {
		x.moved()
	} else {
		x.held += int16(n)
	}
}

func (x *exchange) moved() {
	x.held = 0
	x.touch()
}

// pass writes to the one inside, and follows.
func (x *exchange) pass(p []byte) (int, error) {
	if !x.looked && x.written+int64(len(p)) > inOneGo {
		x.look() // the header goes out with this
	}
	n, err := x.w.Write(p)
	x.wrote(int64(n))
	switch {
	case x.tail.followed():
		_, _ = x.tail.follow.Write(p[:n])
	case !x.looked: // it may turn out to be an event stream
		_, _ = x.events.Write(p[:n])
	}
	return n, err
}

// writeString is the handler's WriteString. It makes no copy of s: a writer must
// not change what it is given (see [io.Writer]).
func (x *exchange) writeString(s string) (int, error) {
	return x.write(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// readFrom is the handler's ReadFrom. A file or a connection that isn't followed
// goes to net/http whole, which may let the kernel copy it (sendfile, splice).
// Of anything else net/http would make writes too.
func (x *exchange) readFrom(src io.Reader) (int64, error) {
	if !forKernel(src) || !x.turn.take() {
		return io.Copy(writerOnly{x}, src)
	}
	var first int64
	if !x.committed {
		// The first bytes go by themselves, as in net/http: a source that fails
		// before them must not have committed us to a 200.
		x.yield()
		var err error
		if first, err = io.CopyN(writerOnly{x}, src, sniffed); err != nil {
			if err == io.EOF {
				err = nil
			}
			return first, err
		}
		if !x.turn.take() {
			return first, errOver
		}
	}
	inner, ok := x.w.(io.ReaderFrom)
	whole := ok && !x.said && !x.cut.Load() && !x.hijacked()
	if whole && !x.looked {
		x.look() // what goes past us can't be followed later
	}
	if !whole || x.tail.followed() {
		x.yield()
		n, err := io.Copy(writerOnly{x}, src)
		return first + n, err
	}
	defer x.yield()
	n, err := inner.ReadFrom(src)
	x.wrote(n)
	return first + n, err
}

// sniffed is how many bytes net/http looks at for a Content-Type.
const sniffed = 512

// forKernel tells whether the kernel may be able to copy from src by itself. A
// file comes as more than one type: io.Copy has os hide its WriteTo.
func forKernel(src io.Reader) bool {
	if limited, ok := src.(*io.LimitedReader); ok {
		src = limited.R
	}
	_, ok := src.(syscall.Conn)
	return ok
}

// writerOnly hides ReadFrom from io.Copy.
type writerOnly struct{ x *exchange }

func (w writerOnly) Write(p []byte) (int, error) { return w.x.write(p) }

// flushError is the handler's Flush, with the error of the one inside.
func (x *exchange) flushError() error {
	if !x.turn.take() {
		if x.isAround() {
			return x.flush()
		}
		_, err := x.tooLate(0)
		return err
	}
	defer x.yield()
	if _, err, instead := x.begin(0); instead {
		return err
	}
	switch {
	case !x.looked:
		x.look()
	case x.inside == innerMute:
		x.inside = innerForeign
		x.Settle(policy.Finite, stream.HTTP, x.req.Pattern) // it is there to stay, so that somebody may ask what it is
	}
	x.flushed = true
	err := x.flush()
	if err == nil {
		x.moved()
	}
	return err
}

// flush flushes the writer inside, or what that one unwraps to. The turn must be
// held by the caller.
func (x *exchange) flush() error { return http.NewResponseController(x.w).Flush() }
