package ws

import (
	"strings"
	"time"
	"unicode/utf8"
)

// maxReason is what a Close frame holds beside its code (RFC 6455, section 5.5).
const maxReason = maxControl - 2

// A Farewell is what a peer is told. The zero Farewell is a Close frame without code. In Reason and in a text Message,
// bytes that are not UTF-8 are replaced by U+FFFD: a peer must fail the connection on them (RFC 6455, section 8.1).
type Farewell struct {
	// Code is the close code; zero: none, and no reason either. It is not checked: of the codes below 3000, RFC
	// 6455 section 7.4 and the IANA registry name those that may be sent (1012 is "service restart").
	Code int
	// Reason goes with the code. It is cut, between characters, to 123 bytes.
	Reason string
	// Message is sent before the Close, as a text message; empty: none.
	Message string
	// Binary makes it a binary message, of any bytes.
	Binary bool
}

// An order is a Farewell as it goes out.
type order struct {
	frames []byte
	close  int // where the Close frame begins; zero: there is no message
}

func (f Farewell) order() *order {
	o := new(order)
	if f.Message != "" {
		opcode, message := byte(opBinary), f.Message
		if !f.Binary {
			opcode, message = opText, strings.ToValidUTF8(message, "\uFFFD")
		}
		o.frames = appendFrame(nil, opcode, message)
		o.close = len(o.frames)
	}
	var payload string
	if f.Code != 0 {
		payload = string([]byte{byte(f.Code >> 8), byte(f.Code)}) + clip(strings.ToValidUTF8(f.Reason, "\uFFFD"))
	}
	o.frames = appendFrame(o.frames, opClose, payload)
	return o
}

// Append appends f's frames to b, as they go out.
func (f Farewell) Append(b []byte) []byte { return append(b, f.order().frames...) }

func clip(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	n := maxReason
	for !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

// Farewell asks for f to be said, once: only the first call counts.
//
// If no Write is under way and the outgoing bytes stand at a boundary, Farewell writes it, and may block on a peer that
// doesn't read, until Cut: call it on a goroutine of its own. Else it returns at once, and the Write that reaches
// the boundary says it. The boundary is the end of a message if f has one, else of any frame; while the response head
// is going out, it is the head's end. It is not said at all if the handler's own Close comes first, if the handler closes
// or half-closes, or if the outgoing bytes can't be followed.
func (c *Conn) Farewell(f Farewell) {
	if c.order.CompareAndSwap(nil, f.order()) {
		c.posted.Store(true)
		c.settle()
	}
}

// Insist gives up waiting for a message boundary: the farewell's message is left out, and its Close goes alone at the
// next frame boundary. It blocks as Farewell does. Without a farewell that is asked for and not said it has no effect but
// to leave the message out of a later one.
func (c *Conn) Insist() {
	c.insist.Store(true)
	c.posted.Store(true)
	c.settle()
}

// settle says the farewell if one was posted that nobody has looked at, unless somebody is writing: whoever is, settles
// after releasing its turn, and so nothing is lost between its last look and the release.
func (c *Conn) settle() {
	c.settling.Add(1)
	defer c.settling.Add(-1)
	for c.posted.Load() && c.writing.try() {
		c.posted.Store(false)
		if words, message := c.words(); words != nil && c.out.at(message) {
			c.say(words)
		}
		c.writing.release()
	}
}

// words returns what is to be said, nil if nothing is, and whether it needs a message boundary. The caller has the turn to write.
func (c *Conn) words() (words []byte, message bool) {
	o := c.order.Load()
	switch {
	case o == nil || c.has(ended):
		return nil, false
	case c.insist.Load():
		return o.frames[o.close:], false
	}
	return o.frames, o.close > 0
}

// say writes the farewell. The caller has the turn to write, at a boundary.
func (c *Conn) say(words []byte) {
	if !c.speak() {
		return
	}
	if n, err := c.inner.Write(words); err != nil || n < len(words) {
		c.shut() // a torn frame may be out: nothing sensible can follow
		return
	}
	c.touch()
	c.note(said)
	c.halfClose()
	if c.has(answered) {
		c.takeReads() // the handshake is complete: a Read that is pending would wait for nothing
	}
}

// speak claims the outgoing side for the farewell. The handler's write deadline, perhaps of a message long ago, must not
// fail it, and gorilla/websocket clears the deadline on each write; so ours is none, Cut bounds it, and the handler's are
// ignored from here on.
func (c *Conn) speak() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.has(saying | ended | closed | shutting) {
		return false
	}
	c.flags.Or(saying)
	_ = c.inner.SetWriteDeadline(time.Time{}) // an error shows in the write
	return true
}
