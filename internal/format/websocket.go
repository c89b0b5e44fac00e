package format

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lastcall-go/lastcall/policy"
)

// WebSocketUpgrade reports whether r asks for a WebSocket over HTTP/1.1 (RFC 6455, section 4.2.1).
// Whether it gets one is for the response to show.
func WebSocketUpgrade(r *http.Request) bool {
	for _, v := range r.Header["Upgrade"] {
		for protocol := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(protocol), "websocket") {
				return true
			}
		}
	}
	return false
}

// WebSocketConnect reports whether r asks for a WebSocket over HTTP/2 by an extended CONNECT (RFC
// 8441, section 4), which net/http takes only with GODEBUG=http2xconnect=1. No header of HTTP/1 has
// a name like :protocol.
func WebSocketConnect(r *http.Request) bool {
	if r.Method != http.MethodConnect {
		return false
	}
	protocol := r.Header[":protocol"]
	return len(protocol) > 0 && strings.EqualFold(protocol[0], "websocket")
}

// ServerFrames are the bytes from a WebSocket's server to its client. The zero ServerFrames stand
// before the head of the HTTP response that accepts the upgrade or refuses it. They never allocate,
// and a copy is independent of the original.
//
// Once the bytes are not understood, there is no boundary any more: after a response head with
// another status than 101, or of more than 64 KiB, and after a frame that a server can't send, such
// as a masked one.
type ServerFrames struct {
	// Upgraded is set where the response head is over, so that frames come next. Write sets it
	// behind a 101.
	Upgraded bool

	// BetweenMessages is set while the farewell has a message of its own, for which there is a
	// place only where no fragmented message is under way. A Close frame alone can stand between
	// any two frames.
	BetweenMessages bool

	headSize  int  // bytes of the response head so far
	blankLine bool // nothing yet in the head's current line
	frame     frame
	inMessage bool // inside a fragmented message, where only control frames may stand (RFC 6455, 5.4)
	closed    bool // a Close frame is out, and nothing may follow it
	lost      bool // not understood, and followed no more
}

// Lost reports whether the bytes were not understood.
func (s *ServerFrames) Lost() bool { return s.lost }

// Closed reports whether a Close frame has gone out.
func (s *ServerFrames) Closed() bool { return s.closed }

// Name implements [Body].
func (s *ServerFrames) Name() string { return WebSocket }

// Write implements [Body].
func (s *ServerFrames) Write(p []byte) (int, error) {
	for n := 0; n < len(p) && !s.lost; {
		n += s.next(p[n:])
	}
	return len(p), nil
}

// AtBoundary implements [Body].
func (s *ServerFrames) AtBoundary() bool {
	if s.BetweenMessages && s.inMessage {
		return false
	}
	return s.Upgraded && s.frame.have == 0 && !s.closed && !s.lost
}

// Boundary implements [Body].
func (s *ServerFrames) Boundary(p []byte) int {
	n := 0
	for ahead := *s; !ahead.AtBoundary(); n += ahead.next(p[n:]) {
		if n == len(p) || ahead.lost {
			return -1
		}
	}
	return n
}

// BeginsFrame reports whether p is the beginning of the next frame, not its whole and no more than
// it. Then left is how much of the payload is to follow, as far as p tells.
func (s *ServerFrames) BeginsFrame(p []byte) (left uint64, begins bool) {
	if !s.Upgraded || s.lost || s.frame.have > 0 || len(p) == 0 {
		return 0, false
	}
	ahead := *s
	if n := ahead.next(p); n < len(p) || ahead.lost || ahead.frame.have == 0 {
		return 0, false
	}
	return ahead.frame.left, true
}

// AppendFarewell implements [Body]: the message, if there is one, and a Close frame. In the reason
// and in a text message bytes that are not UTF-8 are replaced by U+FFFD: a client must fail the
// connection on them (RFC 6455, section 8.1). The reason is cut, between characters, to the 123
// bytes that its frame has room for. Without a code there is no reason either.
func (s *ServerFrames) AppendFarewell(b []byte, f policy.Farewell, _ time.Duration) []byte {
	switch {
	case f.Message == "":
	case f.Binary:
		b = appendFrame(b, opBinary, f.Message)
	default:
		b = appendFrame(b, opText, strings.ToValidUTF8(f.Message, "\uFFFD"))
	}
	var payload string
	if f.Code != 0 {
		reason := clip(strings.ToValidUTF8(f.Reason, "\uFFFD"), maxControl-2)
		payload = string([]byte{byte(f.Code >> 8), byte(f.Code)}) + reason
	}
	return appendFrame(b, opClose, payload)
}

// clip returns the longest prefix of s that has n bytes at most and ends between two characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// next takes at least one byte of p, and at most to the end of the response head or of a frame, and
// returns how many it took.
func (s *ServerFrames) next(p []byte) int {
	if !s.Upgraded {
		return s.head(p)
	}
	f := &s.frame
	n := f.readHeader(p)
	if !f.headerComplete() {
		return n
	}
	if f.masked() || !f.valid() {
		s.lost = true
		return n
	}
	n += f.readPayload(p[n:])
	if f.complete() {
		if f.opcode() == opClose {
			s.closed = true
		} else if !f.control() {
			s.inMessage = !f.final()
		}
		*f = frame{}
	}
	return n
}

// maxHead bounds the response head that is looked through for its end. It is far above what an
// upgrade sends (net/http's client takes 10 MB, most others 8 to 64 KiB).
const maxHead = 64 << 10

// head takes bytes of the response head from p, and returns how many it took.
func (s *ServerFrames) head(p []byte) int {
	for i, b := range p {
		s.headSize++
		switch {
		case s.headSize > maxHead, !accepts(s.headSize-1, b):
			s.lost = true
			return i + 1
		case b == '\n' && s.blankLine:
			s.Upgraded = true
			return i + 1
		case b == '\n':
			s.blankLine = true
		case b != '\r':
			s.blankLine = false
		}
	}
	return len(p)
}

// accepts reports whether a response head with b at place i can have the status 101.
func accepts(i int, b byte) bool {
	const status, minor = "HTTP/1.1 101", len("HTTP/1.")
	switch {
	case i == minor:
		return '0' <= b && b <= '9'
	case i < len(status):
		return b == status[i]
	case i == len(status):
		return b == ' ' || b == '\r' || b == '\n' // the reason phrase is optional in practice
	}
	return true
}

// ClientFrames are the bytes from a WebSocket's client to its server, of which only the Close frame
// matters. The zero ClientFrames stand behind the request.
type ClientFrames struct {
	frame  frame
	closed bool // a whole Close frame has come; what follows it has no meaning (RFC 6455, 5.5.1)
	lost   bool // not understood, and followed no more
}

// Write follows bytes that have come. It takes all of them and never fails.
func (c *ClientFrames) Write(p []byte) (int, error) {
	for n := 0; n < len(p) && !c.closed && !c.lost; {
		n += c.next(p[n:])
	}
	return len(p), nil
}

// Closed reports whether a Close frame has come.
func (c *ClientFrames) Closed() bool { return c.closed }

func (c *ClientFrames) next(p []byte) int {
	f := &c.frame
	n := f.readHeader(p)
	if !f.headerComplete() {
		return n
	}
	// A client masks all it sends (RFC 6455, section 5.1), and no extension gives a meaning to the
	// reserved bits of a control frame: where it is otherwise, this is no frame.
	if !f.masked() || !f.valid() || f.control() && f.first&rsvBits != 0 {
		c.lost = true
		return n
	}
	n += f.readPayload(p[n:])
	if f.complete() {
		c.closed = f.opcode() == opClose
		*f = frame{}
	}
	return n
}
