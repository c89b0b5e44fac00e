package middleware

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// errEnded is for what the handler's writer is asked after the handler has returned, when net/http
// may already use its own for another request.
var errEnded = fmt.Errorf("middleware: response used after the handler returned: %w", http.ErrHandlerTimeout)

// errCanceled ends handlers that write until an error and don't look at their context.
var errCanceled = fmt.Errorf("middleware: write to a stream after its cancel: %w", stream.ErrDraining)

var errCut = drained(fmt.Errorf("middleware: write to a response that the drain has cut: %w", net.ErrClosed))

// A drainedError is the error of a body or a connection that the drain has ended. By [errors.Is] it
// is [stream.ErrDraining] as well.
type drainedError struct{ error }

func drained(err error) error { return drainedError{err} }

func (e drainedError) Unwrap() error      { return e.error }
func (drainedError) Is(target error) bool { return target == stream.ErrDraining }
func (e drainedError) Timeout() bool      { return errors.Is(e.error, os.ErrDeadlineExceeded) }
func (drainedError) Temporary() bool      { return false }

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
		x.commitLocked(status)
	} // else it is informational, or net/http panics on it
	x.w.WriteHeader(status)
	if x.connect != nil && x.committed {
		x.connect.acceptIf(int(x.status)) // which was the first
	}
}

// commitLocked notes that a final status is about to go out, and takes from the header what kind of
// response this is. It does nothing if that has been done.
func (x *exchange) commitLocked(status int) {
	if x.committed || x.hijacked != nil {
		return
	}
	if x.Request().ContentLength != 0 {
		x.closeConnIfBodyUnread()
	}
	x.committed, x.status, x.committedAfterCancel = true, uint16(status), x.Canceled()
	noBody := x.Request().Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
	h := x.w.Header()
	if length := h["Content-Length"]; len(length) > 0 {
		if n, err := strconv.ParseInt(length[0], 10, 64); err == nil {
			x.missing = n
		}
	}
	kind := x.shapeLocked(h, noBody)
	if noBody {
		x.missing = 0
	}
	// RFC 9112, section 9.6; over HTTP/2 net/http sends GOAWAY for it. A stream's connection may be
	// broken later, and Node's fetch takes a broken body for whole under Connection: close.
	if x.d.draining() && status != http.StatusSwitchingProtocols && kind != policy.Infinite {
		h.Set("Connection", "close")
	}
}

func (x *exchange) write(p []byte) (int, error) {
	if x.connect != nil && x.connect.acceptOnWrite() {
		return x.connect.Write(p)
	}
	if !x.acquire() {
		if x.outerMayWrite() {
			return x.w.Write(p)
		}
		return x.writeAfterEnd(len(p))
	}
	defer x.release()
	if discards, err := x.discardsLocked(); err != nil {
		return 0, err
	} else if discards {
		x.farewell.Load().swallowed += int64(len(p))
		return len(p), nil
	}
	if len(p) > 0 && x.hijacked != nil && x.logMisuse("response.Write on hijacked connection") {
		return 0, http.ErrHijacked
	}
	x.commitLocked(http.StatusOK)
	if x.body != nil && x.farewell.Load() != nil {
		return x.writeAroundFarewellLocked(p)
	}
	return x.writeThroughLocked(p)
}

// discardsLocked reports whether what the handler writes isn't sent any more: after a cut, behind
// the farewell, and after the cancel of a stream. With an error its writes fail, which ends also
// handlers that don't watch their context; without one they don't notice.
//
// A canceled stream may still write its answer to the cancel, and what a farewell waits for.
// Without a farewell, a handler that knows of the cancel may also end its body in order, as a
// compressor does.
func (x *exchange) discardsLocked() (discards bool, err error) {
	canceled := x.Canceled() && !x.committedAfterCancel
	switch {
	case x.wasCut.Load():
		return true, errCut
	case x.farewellWritten && canceled:
		return true, errCanceled
	case x.farewellWritten:
		return true, nil
	case !canceled || !x.committed || x.CancelSeen() || x.body != nil && x.farewell.Load() != nil:
		return false, nil
	case x.Kind() == policy.Infinite && !x.mayEndEncodingLocked():
		return true, errCanceled
	}
	return false, nil
}

// mayEndEncodingLocked reports whether a canceled stream that is encoded inside may still be
// written to by a handler that doesn't know of the cancel: halfway to the cut it may. It could
// learn of the cancel a moment later, as r3labs' does on a goroutine of its own, and a compressor
// that has met an error doesn't end its body any more.
func (x *exchange) mayEndEncodingLocked() bool {
	m, _ := x.Moments()
	return format.Encoded(x.w.Header()) && time.Now().Before(halfway(m.Cancel, m.Cut))
}

// writeAfterEnd returns the result of a write of n bytes after the handler has returned.
func (x *exchange) writeAfterEnd(n int) (int, error) {
	if x.farewellWritten || x.drainAnswered {
		return n, nil
	}
	return 0, errEnded
}

// writeThroughLocked writes p to the wrapped writer.
func (x *exchange) writeThroughLocked(p []byte) (int, error) {
	n, err := x.w.Write(p)
	x.wroteLocked(int64(n), err)
	if x.body != nil {
		_, _ = x.body.Write(p[:n])
	}
	return n, err
}

// netHTTPBuffer is how many bytes of a body net/http can hold back until its handler returns or
// flushes.
const netHTTPBuffer = 2048

// unknownLength is what is missing of a body that has no Content-Length.
const unknownLength = math.MaxInt64

// wroteLocked counts n bytes of the body, and notes whether their write failed. The time of the
// last byte is set once net/http can't hold all of them back. How much another writer holds back is
// unknown: for a stream that is written through one it is set at once. Since the last of the bytes
// may be held back whatever went out before them, one counts as unflushed until a flush.
func (x *exchange) wroteLocked(n int64, err error) {
	x.failed = x.failed || err != nil
	if x.missing != unknownLength {
		x.missing -= n
	}
	if n > netHTTPBuffer-int64(x.unflushed) || n > 0 && x.body != nil && !isNetHTTP1(x.w) {
		x.unflushed = 1
		x.sentLocked()
	} else {
		x.unflushed += uint16(n)
	}
}

// writeString makes no copy of s, since a writer must not change what it is given ([io.Writer]).
func (x *exchange) writeString(s string) (int, error) {
	return x.write(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// readFrom hands a file or a connection whose bytes needn't be followed to net/http whole, which
// may let the kernel copy it (sendfile, splice). The wrapped writer must be an [io.ReaderFrom].
func (x *exchange) readFrom(src io.Reader) (int64, error) {
	plain := plainWriter{x} // which has no ReadFrom, so that io.Copy calls Write
	if !kernelCanCopy(src) || !x.acquire() {
		return io.Copy(plain, src)
	}
	if discards, _ := x.discardsLocked(); discards || x.body != nil || x.hijacked != nil {
		x.release()
		return io.Copy(plain, src)
	}
	if !x.committed {
		// The first bytes go by themselves, as in net/http, which looks at 512 for a Content-Type:
		// if the source fails before them, no status may have been sent.
		x.release()
		first, err := io.CopyN(plain, src, 512)
		if err == io.EOF {
			return first, nil
		}
		if err != nil {
			return first, err
		}
		rest, err := x.readFrom(src)
		return first + rest, err
	}
	defer x.release()
	n, err := x.w.(io.ReaderFrom).ReadFrom(src)
	x.wroteLocked(n, err)
	return n, err
}

// kernelCanCopy reports whether the kernel may be able to copy from src by itself. It doesn't ask
// for an *os.File: io.Copy may pass one as an unexported type of package os, without its WriteTo.
func kernelCanCopy(src io.Reader) bool {
	if limited, ok := src.(*io.LimitedReader); ok {
		src = limited.R
	}
	_, ok := src.(syscall.Conn)
	return ok
}

func (x *exchange) flush() error {
	if x.connect != nil && x.connect.acceptOnWrite() {
		_, err := x.connect.Write(nil) // nothing is held back
		return err
	}
	if !x.acquire() {
		if x.outerMayWrite() {
			return x.controller().Flush()
		}
		_, err := x.writeAfterEnd(0)
		return err
	}
	defer x.release()
	if discards, err := x.discardsLocked(); discards {
		return err
	}
	x.commitLocked(http.StatusOK)
	err := x.controller().Flush()
	if err == nil {
		x.unflushed = 0
		x.sentLocked()
	}
	return err
}

// closeNotify returns a channel that receives when the client leaves, as the wrapped writer has it,
// and when the drain cancels: a handler that waits for it alone, as gin's Context.Stream does,
// would go on until the cut. The wrapped writer must be an [http.CloseNotifier].
func (x *exchange) closeNotify() <-chan bool {
	//lint:ignore SA1019 handlers still ask for it
	inner := x.w.(http.CloseNotifier).CloseNotify()
	left, done := make(chan bool, 1), x.Context().Done()
	go func() { // until the handler has returned, at the latest
		select {
		case <-inner:
		case <-done:
		}
		left <- true
	}()
	return left
}
