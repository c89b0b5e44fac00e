package format

import (
	"encoding/binary"
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

// A frame's header (RFC 6455, section 5.2).
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPong   = 0xA

	finBit  = 0x80
	rsvBits = 0x70
	maskBit = 0x80

	maxControl = 125 // a control frame's payload (section 5.5)
)

// Frames are the bytes that go one way over a WebSocket. The zero Frames are a server's, and stand
// before the head of the HTTP response. They never allocate, and a copy is independent.
//
// After a Close frame nothing is followed and there is no boundary, and so it is where the bytes
// can't be understood: after a response head with another status than 101, or of more than 64 KiB,
// and after a frame that the sender can't send, such as a server's masked one.
type Frames struct {
	// FromClient is set for what a client sends.
	FromClient bool

	// Upgraded is set where frames come next. Write sets it behind a 101.
	Upgraded bool

	// BetweenMessages is set while the farewell has a message of its own, which can't stand within
	// a fragmented one. A Close frame alone can stand between any two frames.
	BetweenMessages bool

	Closed bool // set by Write: a whole Close frame was among the bytes
	Lost   bool // set by Write: the bytes can't be understood

	headSize  int  // bytes of the response head so far
	blankLine bool // nothing yet in the head's current line

	header [14]byte // of the current frame, zero behind what has come of it
	have   int      // bytes of the header so far
	left   uint64   // of the payload, as far as the header tells

	inMessage bool // inside a fragmented message, where only control frames may stand (RFC 6455, 5.4)
}

// Name implements [Body].
func (s *Frames) Name() string { return WebSocket }

// Write implements [Body].
func (s *Frames) Write(p []byte) (int, error) {
	for n := 0; n < len(p) && !s.over(); {
		n += s.next(p[n:])
	}
	return len(p), nil
}

// over reports whether nothing is followed any more.
func (s *Frames) over() bool { return s.Closed || s.Lost }

// betweenFrames reports whether a frame may begin here.
func (s *Frames) betweenFrames() bool { return s.Upgraded && s.have == 0 && !s.over() }

// AtBoundary implements [Body].
func (s *Frames) AtBoundary() bool { return s.betweenFrames() && !(s.BetweenMessages && s.inMessage) }

// Boundary implements [Body].
func (s *Frames) Boundary(p []byte) int {
	n := 0
	for ahead := *s; !ahead.AtBoundary(); n += ahead.next(p[n:]) {
		if n == len(p) || ahead.over() {
			return -1
		}
	}
	return n
}

// BeginsFrame reports whether p is the beginning of the next frame, not its whole and no more than
// it. Then left is how much of the payload is to follow, as far as p tells.
func (s *Frames) BeginsFrame(p []byte) (left uint64, begins bool) {
	if !s.betweenFrames() || len(p) == 0 {
		return 0, false
	}
	ahead := *s
	n := ahead.next(p)
	return ahead.left, n == len(p) && ahead.have > 0 && !ahead.Lost
}

// AppendFarewell implements [Body]: the message, if there is one, and a Close frame. In the reason
// and in a text message bytes that are not UTF-8 are replaced by U+FFFD: a client must fail the
// connection on them (RFC 6455, section 8.1). The reason is cut, between characters, to the 123
// bytes that its frame has room for. Without a code there is no reason either.
func (s *Frames) AppendFarewell(b []byte, f policy.Farewell, _ time.Duration) []byte {
	switch {
	case f.Message == "":
	case f.Binary:
		b = appendFrame(b, opBinary, f.Message)
	default:
		b = appendFrame(b, opText, strings.ToValidUTF8(f.Message, "\uFFFD"))
	}
	if f.Code == 0 {
		return appendFrame(b, opClose, "")
	}
	reason := strings.ToValidUTF8(f.Reason, "\uFFFD")
	if n := maxControl - 2; len(reason) > n {
		for !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	return appendFrame(b, opClose, string([]byte{byte(f.Code >> 8), byte(f.Code)})+reason)
}

// appendFrame appends one final, unmasked frame.
func appendFrame(b []byte, opcode byte, payload string) []byte {
	b = append(b, finBit|opcode)
	switch n := len(payload); {
	case n <= 125:
		b = append(b, byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// next takes at least one byte of p, and at most to the end of the response head or of a frame, and
// returns how many it took.
func (s *Frames) next(p []byte) (n int) {
	if !s.Upgraded {
		return s.nextOfHead(p)
	}
	if size, _ := s.sizes(); s.have < size {
		for s.have < size {
			if n == len(p) {
				return n
			}
			s.header[s.have] = p[n]
			s.have++
			n++
			size, s.left = s.sizes()
		}
		if !s.valid() {
			s.Lost = true
			return n
		}
	}
	taken := min(s.left, uint64(len(p)-n))
	s.left -= taken
	if s.left == 0 {
		switch opcode := s.opcode(); {
		case opcode == opClose:
			s.Closed = true
		case opcode < opClose:
			s.inMessage = s.header[0]&finBit == 0
		}
		s.header, s.have = [14]byte{}, 0
	}
	return n + int(taken)
}

func (s *Frames) opcode() byte { return s.header[0] & 0x0F }

// sizes returns the sizes of the header, which is 2 at first, and of the payload, as far as the
// header tells.
func (s *Frames) sizes() (header int, payload uint64) {
	header, payload = 2, uint64(s.header[1]&^maskBit)
	switch payload {
	case 126:
		header, payload = 4, uint64(binary.BigEndian.Uint16(s.header[2:]))
	case 127:
		header, payload = 10, binary.BigEndian.Uint64(s.header[2:])
	}
	if s.header[1]&maskBit != 0 {
		header += 4
	}
	return header, payload
}

// valid reports whether there can be a frame with this header. If not, the bytes were misread, and
// whatever is made of the following ones is wrong.
func (s *Frames) valid() bool {
	if masked := s.header[1]&maskBit != 0; masked != s.FromClient { // RFC 6455, section 5.1
		return false
	}
	switch opcode := s.opcode(); {
	case opcode <= opBinary:
		return s.left>>63 == 0
	case opcode < opClose || opcode > opPong, s.header[0]&finBit == 0, s.header[1]&^maskBit > maxControl:
		return false
	}
	// No extension gives a meaning to the reserved bits of a control frame.
	return !s.FromClient || s.header[0]&rsvBits == 0
}

// maxHead bounds the response head that is looked through for its end. It is far above what an
// upgrade sends (net/http's client takes 10 MB, most others 8 to 64 KiB).
const maxHead = 64 << 10

func (s *Frames) nextOfHead(p []byte) int {
	for i, b := range p {
		s.headSize++
		switch {
		case s.headSize > maxHead, !fits101(s.headSize-1, b):
			s.Lost = true
			return i + 1
		case b == '\n' && s.blankLine:
			s.Upgraded = true
			return i + 1
		case b != '\r':
			s.blankLine = b == '\n'
		}
	}
	return len(p)
}

// fits101 reports whether a response head with b at place i can have the status 101.
func fits101(i int, b byte) bool {
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
