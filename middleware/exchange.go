package middleware

import (
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/iolock"
	"github.com/lastcall-go/lastcall/internal/tracked"
)

// An exchange carries one response over its http.ResponseWriter, until the connection is hijacked.
// The handler writes to it through one of the writers of features.go.
type exchange struct {
	tracked.Response

	// Immutable once the handler runs.
	d       *Drainer
	w       http.ResponseWriter // the wrapped writer; not used once the handler has returned, see outerMayWrite
	req     http.Request        // as the handler gets it
	connect *h2WebSocket        // of a CONNECT that asks for a WebSocket; else nil

	lastByte atomic.Int64             // nanoseconds from the response's beginning to the last byte; zero: none has moved
	farewell atomic.Pointer[farewell] // what the client is to be told
	pending  atomic.Bool              // farewell was set, and flushPending hasn't tried to write it since
	wasCut   atomic.Bool              // nothing that is written from now on reaches the client

	openMu sync.Mutex  // held by ifOpen, which uses w even while another goroutine writes to it; taken after lock
	lock   iolock.Lock // held while writing to w

	// Guarded by openMu. Where ended is set lock is held as well, so that either is enough to read
	// it.
	ended      bool // the handler has returned
	readsEnded bool // Finish has ended the handler's reads of the request's body
	bodyRead   bool // the request's body was read to its end
	overLimit  bool // the request's body went over the limit of an http.MaxBytesReader

	// Guarded by lock.
	wroteNothing         bool            // the handler has returned by itself without having written anything
	drainAnswered        bool            // the drain answered in the handler's place
	committed            bool            // a final status is on its way
	committedAfterCancel bool            // committed was set after the drain had canceled the context
	failed               bool            // a write failed
	farewellWritten      bool            // or is being written; what the handler writes from now on isn't sent
	farewellOutcome      tracked.Outcome // of a response whose farewell was written
	outerEncodes         bool            // the header had a Content-Encoding before the handler was called
	status               uint16          // the final one, once committed
	unflushed            uint16          // how many bytes of those written net/http may still hold back
	missing              int64           // bytes of the body still to be written; unknownLength: none was declared
	body                 format.Body     // follows the body; nil: no farewell can be put into it
	hijacked             *hijacked       // nil: a connCarrier doesn't carry the response
}

// isNetHTTP1 reports whether w is net/http's own writer for HTTP/1, whose type is not exported.
func isNetHTTP1(w http.ResponseWriter) bool {
	t := reflect.TypeOf(w)
	return t != nil && t.String() == "*http.response" && t.Elem().PkgPath() == "net/http"
}

// run calls the handler and ends its response.
func (x *exchange) run(next http.Handler) {
	returned := false
	defer func() {
		// A proxy panics with ErrAbortHandler when its back end breaks off, as that does when the
		// drain cancels the context. Such a handler counts as returned where its response can end
		// in order.
		var panicked any
		if !returned && x.mayEndClean() {
			panicked = recover()
			returned = panicked == http.ErrAbortHandler
		}
		if abort := x.handlerEnded(returned); abort {
			panic(http.ErrAbortHandler) // net/http then doesn't write the end of the body
		}
		// A WebSocket over HTTP/2 has ended behind its Close frame, which handlerEnded may have
		// awaited.
		if !returned && panicked == nil && x.connect != nil && x.connect.State().FarewellWritten {
			panicked = recover()
			returned = panicked == http.ErrAbortHandler
		}
		if !returned && panicked != nil {
			panic(panicked)
		}
	}()
	next.ServeHTTP(x.writer(), &x.req)
	returned = true
}

// acquire takes the lock. It returns false, without it, once the handler has returned.
func (x *exchange) acquire() bool {
	x.lock.Lock()
	if x.ended {
		x.lock.Unlock()
		return false
	}
	return true
}

// release gives the lock back. A farewell that is due goes out first.
func (x *exchange) release() {
	if x.farewell.Load() != nil {
		x.writeFarewellIfDueLocked()
	}
	x.lock.Unlock()
	x.flushPending()
}

// flushPending writes a farewell that is due. While another goroutine has the lock it does nothing:
// that one calls flushPending after unlocking, so no farewell is missed between the two.
func (x *exchange) flushPending() {
	for x.pending.Load() && x.lock.TryLock() {
		x.pending.Store(false)
		x.writeFarewellIfDueLocked()
		x.lock.Unlock()
	}
}

// ifOpen calls f unless the handler has returned. If it returns meanwhile, handlerEnded waits for
// f, which must not block. ifOpen doesn't wait for a write that is under way, so f can end one.
func (x *exchange) ifOpen(f func()) {
	x.openMu.Lock()
	defer x.openMu.Unlock()
	if !x.ended {
		f()
	}
}

func (x *exchange) controller() *http.ResponseController { return http.NewResponseController(x.w) }

// LastByte implements [tracked.Carrier].
func (x *exchange) LastByte() time.Time {
	if last := x.lastByte.Load(); last != 0 {
		return x.Began().Add(time.Duration(last))
	}
	return time.Time{}
}

// byteMoved sets the time of the last byte to now.
func (x *exchange) byteMoved() { x.lastByte.Store(int64(x.Age())) }

// sentLocked is byteMoved for bytes that the response has sent, the first of which are observed.
func (x *exchange) sentLocked() {
	first := x.lastByte.Load() == 0
	x.byteMoved()
	if first && x.d.Observe != nil {
		x.lastByte.CompareAndSwap(0, 1) // a test's clock may have stood still
		x.d.observeFirstByte(&x.Response)
	}
}
