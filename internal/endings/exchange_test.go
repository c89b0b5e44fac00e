package endings

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// What a handler does once its context is canceled.
type manner int

const (
	returns  manner = iota // it returns at once
	ignores                // it goes on until it has said all
	untilErr               // it goes on until a write fails, or it has said all
	answers                // it has said nothing so far, and answers then
	lingers                // it goes on for a moment, and says the last word
	panics                 // it panics
	notified               // it asks for CloseNotify in place of the context, and returns
	manners
)

// An exchange is one request, what its handler is to do, and what both sides saw. All of it is
// known to both, since they are in one process.
type exchange struct {
	id       int
	over     time.Time // when the drain was
	draining time.Time // when it began
	conn     int       // of the connection, or the client's over HTTP/2
	stops    string    // how its server is stopped
	late     bool      // the client saw the end after that of the drain
	spent    bool      // on a connection that the drain has ended: behind a canceled or told response nothing is read from it
	closedAt time.Time // when the drain was cut short; zero: it wasn't
	refusal  bool      // the Drainer has one
	noConn   bool      // the Drainer isn't shown the connections
	rule     policy.Rule
	real     bool // over the loopback

	// The request.
	proto   string // "1.0", "1.1", "2"
	method  string
	accept  string // who asks for an event stream: "eventsource", "fetch", "go"; else empty
	upload  int    // bytes of its body
	slowly  bool   // the body takes its time
	upgrade string // "websocket" or "tcp": it is hijacked

	// The handler.
	speaks     string
	tag        policy.Kind
	refine     policy.Rule
	own        *policy.Farewell // by stream.OnFarewell
	ownPanics  bool
	chore      *chore        // for Drainer.Go
	begins     time.Duration // before its first byte
	units      int           // how many it has to say; it is endless where that can't be reached
	size       int           // of a unit's filler
	pause      time.Duration // between two
	flush      int           // flushes after so many units; zero: never
	split      bool          // writes units in pieces
	length     bool          // declares the body's length
	status     int
	manner     manner
	listens    bool // returns once it hears of the drain
	panicsAt   int  // panics before this unit; -1: doesn't
	aborts     bool // its panic is http.ErrAbortHandler
	encoded    bool // it says that its body is compressed
	middleOut  string
	middleIn   string
	readFrom   bool // writes by ReadFrom
	closesSelf bool // a hijacked connection's handler says its own goodbye as it ends
	detached   bool // the handler returns, and a goroutine goes on with the connection

	// The client.
	reads  reader
	leaves bool // it, or one before it on its connection, may leave early

	// What became of it.
	mu        sync.Mutex
	seen      int // by the server, in front of Graceful
	runs      int // of the handler
	response  *tracked.Response
	began     bool // the handler wrote something
	first     bool // it writes its first bytes
	beganLate bool // it began after the cancel
	wrote     int  // whole units, without an error
	wroteLast bool
	writeErr  error
	returned  bool
	panicked  bool
	canceled  bool      // the handler saw its context canceled
	endedAt   time.Time // Graceful has returned
	deadAt    string    // where the context had ended though nobody but net/http had ended it
	view      view
}

// A view is what the client saw.
type view struct {
	done      bool // it is final
	status    int  // zero: no response
	header    http.Header
	text      text
	body      string
	end       ending
	left      bool // the client broke it off itself
	err       error
	told      time.Time // when the farewell was complete
	ended     time.Time
	code      int  // of a WebSocket's Close; zero: none came
	answered  bool // the client has sent its Close
	fault     string
	readsFrom time.Time // a client that was stuck has begun to read
	goAway    bool      // on its connection has come a GOAWAY
	untaken   bool      // which says that nothing was done for it
}

// How a response ended, for its client.
type ending int

const (
	nothing ending = iota // no byte of a response came
	clean                 // in order: the protocol says that it is complete
	broken
)

func (e ending) String() string { return [...]string{"nothing", "clean", "broken"}[e] }

func (x *exchange) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	v := x.view
	tail := v.body
	if len(tail) > 120 {
		tail = "…" + tail[len(tail)-120:]
	}
	return fmt.Sprintf("#%d on %d stops=%q late=%t HTTP/%s %s %s%s accept=%q tag=%s refine=%+v begins=%s units=%d size=%d pause=%s flush=%d split=%t length=%t status=%d "+
		"manner=%d listens=%t panicsAt=%d aborts=%t encoded=%t out=%q in=%q readFrom=%t closesSelf=%t detached=%t upload=%d slowly=%t reads=%+v leaves=%t\n"+
		"  server: seen=%d runs=%d began=%t late=%t wrote=%d last=%t err=%v returned=%t panicked=%t canceled=%t dead=%q\n"+
		"  client: status=%d header=%v units=%d last=%t farewell=%t rest=%q end=%s left=%t err=%v toldFor=%s code=%d answered=%t fault=%q tail=%q",
		x.id, x.conn, x.stops, x.late, x.proto, x.method, x.upgrade, x.speaks, x.accept, x.tag, x.refine, x.begins, x.units, x.size, x.pause, x.flush, x.split, x.length, x.status,
		x.manner, x.listens, x.panicsAt, x.aborts, x.encoded, x.middleOut, x.middleIn, x.readFrom, x.closesSelf, x.detached, x.upload, x.slowly, x.reads, x.leaves,
		x.seen, x.runs, x.began, x.beganLate, x.wrote, x.wroteLast, x.writeErr, x.returned, x.panicked, x.canceled, x.deadAt,
		v.status, v.header, v.text.units, v.text.last, v.text.farewell, cap120(v.text.rest), v.end, v.left, v.err, v.ended.Sub(v.told), v.code, v.answered, v.fault, tail)
}

func cap120(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}
