package middleware

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// errEnded is what a write returns that comes after its handler has returned. net/http leaves that
// undefined; its buffers belong to another request by then.
var errEnded = fmt.Errorf("middleware: response used after the handler returned: %w", http.ErrHandlerTimeout)

// errCut is what a write returns that comes after the cut.
var errCut = fmt.Errorf("middleware: write to a response that the drain has cut: %w", net.ErrClosed)

// writeHeader is the handler's WriteHeader.
func (x *exchange) writeHeader(status int) {
	if !x.acquire() {
		if x.outerMayWrite() {
			x.w.WriteHeader(status)
		}
		return
	}
	defer x.release()
	switch {
	case x.farewellWritten:
		return
	case x.hijacked != nil && x.logMisuse("response.WriteHeader on hijacked connection"):
		return
	case x.committed && x.logMisuse("superfluous response.WriteHeader call"):
		return
	case status >= 200 && status <= 999 || status == http.StatusSwitchingProtocols:
		x.commit(status)
	} // else it is informational, which is neither final nor says what comes, or net/http panics on it
	x.w.WriteHeader(status)
	if x.connect != nil && x.committed {
		x.connect.acceptIf(status)
	}
}

// commit notes that a final status is about to go out, and takes from the header what kind of
// response this is. The lock must be held.
func (x *exchange) commit(status int) {
	if x.committed || x.hijacked != nil {
		return
	}
	x.committed, x.status = true, uint16(status)
	x.afterCancel = x.Canceled()
	head := x.Request().Method == http.MethodHead
	x.noBody = head || status == http.StatusNoContent || status == http.StatusNotModified
	h := x.w.Header()
	if x.d.draining() && status != http.StatusSwitchingProtocols {
		h.Set("Connection", "close") // RFC 9112, section 9.6; over HTTP/2 net/http sends GOAWAY for it
	}
	if length := h["Content-Length"]; len(length) > 0 {
		if n, err := strconv.ParseInt(length[0], 10, 64); err == nil {
			x.declared = n
		}
	}
	kind, speaks := policy.Finite, format.HTTP
	// A body of a known length ends by itself. The handler of a HEAD may run on like that of the
	// GET, though nobody sees what it writes.
	if x.declared < 0 && (!x.noBody || head) {
		body, infinite := format.Recognize(h)
		if infinite {
			kind = policy.Infinite
		}
		if body != nil && !x.noBody {
			x.body, speaks = body, body.Name()
		}
	}
	x.SetShape(kind, speaks, x.req.Pattern)
}

// beforeWrite is what each write begins with. It reports whether the next n bytes of the body are
// swallowed or refused instead of being written, and what the write returns then. The lock must be
// held.
func (x *exchange) beforeWrite(n int) (answer int, err error, instead bool) {
	switch {
	case x.wasCut.Load():
		return 0, errCut, true // so that a handler ends that hears of nothing else
	case x.farewellWritten:
		return n, nil, true
	case n > 0 && x.hijacked != nil && x.logMisuse("response.Write on hijacked connection"):
		return 0, http.ErrHijacked, true
	}
	x.commit(http.StatusOK)
	return 0, nil, false
}

// write is the handler's Write.
func (x *exchange) write(p []byte) (int, error) {
	if x.connect != nil && x.connect.isAccepted() {
		return x.connect.Write(p)
	}
	if !x.acquire() {
		if x.outerMayWrite() {
			return x.w.Write(p)
		}
		return x.writeAfterEnd(len(p))
	}
	defer x.release()
	if n, err, instead := x.beforeWrite(len(p)); instead {
		return n, err
	}
	if x.body != nil && x.farewell.Load() != nil {
		return x.writeAroundFarewell(p)
	}
	return x.writeThrough(p)
}

// writeAfterEnd returns what a write of n bytes returns that comes after the handler has returned.
func (x *exchange) writeAfterEnd(n int) (int, error) {
	if x.farewellWritten || x.answered {
		return n, nil
	}
	return 0, errEnded
}

// writeThrough writes p to the wrapped writer. The lock must be held.
func (x *exchange) writeThrough(p []byte) (int, error) {
	n, err := x.w.Write(p)
	x.wrote(int64(n))
	if x.body != nil {
		_, _ = x.body.Write(p[:n])
	}
	return n, err
}

// netHTTPBuffer is how long a body can be that net/http holds back until its handler returns or
// flushes. What is longer it sends in pieces.
const netHTTPBuffer = 2048

// wrote counts n bytes of the body that were written. What net/http may hold back hasn't moved yet.
// What another writer holds back we can't know, so with one a stream's bytes count as moved at
// once. The lock must be held.
func (x *exchange) wrote(n int64) {
	x.written += n
	if n > netHTTPBuffer-int64(x.unflushed) || n > 0 && x.body != nil && !isNetHTTP1(x.w) {
		x.moved()
	} else {
		x.unflushed += int32(n)
	}
}

func (x *exchange) moved() {
	x.unflushed = 0
	x.touch()
}

// writeString is the handler's WriteString. It makes no copy of s, since a writer must not change
// what it is given (see [io.Writer]).
func (x *exchange) writeString(s string) (int, error) {
	return x.write(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// readFrom is the handler's ReadFrom. A file or a connection whose bytes needn't be followed goes
// to net/http whole, which may let the kernel copy it (sendfile, splice). Of anything else net/http
// would make writes, too.
func (x *exchange) readFrom(src io.Reader) (int64, error) {
	if !kernelCanCopy(src) || !x.acquire() {
		return io.Copy(x.writerOnly(), src)
	}
	var first int64
	if !x.committed {
		// The first bytes go by themselves, as in net/http: a source that fails before them must
		// not have committed us to a 200.
		x.release()
		var err error
		if first, err = io.CopyN(x.writerOnly(), src, sniffed); err != nil {
			if err == io.EOF {
				err = nil
			}
			return first, err
		}
		if !x.acquire() {
			return first, errEnded
		}
	}
	inner, ok := x.w.(io.ReaderFrom)
	if !ok || x.body != nil || x.farewellWritten || x.wasCut.Load() || x.hijacked != nil {
		x.release()
		n, err := io.Copy(x.writerOnly(), src)
		return first + n, err
	}
	defer x.release()
	n, err := inner.ReadFrom(src)
	x.wrote(n)
	return first + n, err
}

// sniffed is how many bytes net/http looks at for a Content-Type.
const sniffed = 512

// kernelCanCopy reports whether the kernel may be able to copy from src by itself. A file comes as
// more than one type: io.Copy has os hide its WriteTo.
func kernelCanCopy(src io.Reader) bool {
	if limited, ok := src.(*io.LimitedReader); ok {
		src = limited.R
	}
	_, ok := src.(syscall.Conn)
	return ok
}

// writerOnly returns a writer to the body without ReadFrom, which io.Copy would call.
func (x *exchange) writerOnly() io.Writer { return struct{ io.Writer }{plainWriter{x}} }

// flush is the handler's Flush, with the error of the wrapped writer's.
func (x *exchange) flush() error {
	if x.connect != nil && x.connect.isAccepted() {
		_, err := x.connect.Write(nil) // nothing is held back
		return err
	}
	if !x.acquire() {
		if x.outerMayWrite() {
			return x.control().Flush()
		}
		_, err := x.writeAfterEnd(0)
		return err
	}
	defer x.release()
	if _, err, instead := x.beforeWrite(0); instead {
		return err
	}
	x.flushed = true
	err := x.control().Flush()
	if err == nil {
		x.moved()
	}
	return err
}
