package format

import (
	"encoding/binary"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/lastcall-go/lastcall/policy"
)

// WebSocketUpgrade reports whether r asks for a WebSocket over HTTP/1.1 (RFC 6455, section 4.2.1).
// Only the response shows whether it gets one.
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
// 8441, section 4), which net/http takes only with GODEBUG=http2xconnect=1. An HTTP/1 header can't
// be named :protocol.
func WebSocketConnect(r *http.Request) bool {
	return r.Method == http.MethodConnect && strings.EqualFold(r.Header.Get(":protocol"), "websocket")
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

// Frames follows the bytes that go one way over a WebSocket. The zero Frames is for what a server
// sends, beginning with the head of its HTTP response. It never allocates, and a copy of it is
// independent. It isn't safe for concurrent use.
//
// Once it is Closed or Lost, it follows no more bytes, and there is no boundary any more.
type Frames struct {
	FromClient bool // a client sends the bytes
	Upgraded   bool // frames come next; Write sets it after the head of a response with status 101

	// Closed and Lost are set by Write. Closed: a whole Close frame was sent. Lost: bytes were sent
	// that can't be right: a response head with another status than 101, or of more than 64 KiB, or
	// a frame that this side can't send, such as a server's masked one.
	Closed, Lost bool

	headLen   int  // bytes of the response head so far
	blankLine bool // the head's current line is empty so far

	inMessage bool     // within a fragmented message, where only control frames may come (RFC 6455, 5.4)
	header    [14]byte // the first headerLen bytes of the current frame's; the rest is zero
	headerLen int
	left      uint64 // bytes of the payload to come, as far as the header is known
}

// Write follows p, which was sent. It takes all of p and never fails.
func (s *Frames) Write(p []byte) (int, error) {
	for n := 0; n < len(p) && !s.ended(); {
		n += s.writeSome(p[n:])
	}
	return len(p), nil
}

func (s *Frames) ended() bool { return s.Closed || s.Lost }

// AtBoundary reports whether a Close frame may be sent next, or if message is true, a message.
func (s *Frames) AtBoundary(message bool) bool {
	return s.Upgraded && s.headerLen == 0 && !s.ended() && !(message && s.inMessage)
}

// Boundary returns the length of the shortest prefix of p, which comes next, after which AtBoundary
// returns true, or -1. It leaves s as it is.
func (s *Frames) Boundary(p []byte, message bool) int {
	n := 0
	for ahead := *s; !ahead.AtBoundary(message); n += ahead.writeSome(p[n:]) {
		if n == len(p) || ahead.ended() {
			return -1
		}
	}
	return n
}

// BeginsFrame reports whether p, which comes next, is the beginning of a frame and ends within it.
// If so, left is the number of bytes of the payload to come after p, as far as p has the length.
func (s *Frames) BeginsFrame(p []byte) (left uint64, begins bool) {
	if !s.AtBoundary(false) || len(p) == 0 {
		return 0, false
	}
	ahead := *s
	n := ahead.writeSome(p)
	return ahead.left, n == len(p) && ahead.headerLen > 0 && !ahead.Lost
}

// AppendClose appends f's message, if it has one, and a server's Close frame to b, and returns the
// longer slice. In the reason and in a text message it replaces bytes that are not UTF-8 by U+FFFD:
// a client must fail the connection on them (RFC 6455, section 8.1). It cuts the reason, between
// characters, to the 123 bytes that its frame has room for. Without a code it sends no reason.
func AppendClose(b []byte, f policy.Farewell) []byte {
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
	case n <= maxControl:
		b = append(b, byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// writeSome follows p up to the end of the response head or of a frame, at least one byte, and
// returns how many bytes it took.
func (s *Frames) writeSome(p []byte) (n int) {
	if !s.Upgraded {
		return s.writeHead(p)
	}
	for size, _ := s.sizes(); s.headerLen < size; {
		if n == len(p) {
			return n
		}
		s.header[s.headerLen] = p[n]
		s.headerLen++
		n++
		if size, s.left = s.sizes(); s.headerLen == size && !s.valid() {
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
		s.header, s.headerLen = [14]byte{}, 0
	}
	return n + int(taken)
}

func (s *Frames) opcode() byte { return s.header[0] & 0x0F }

// sizes returns the sizes of the frame's header and payload. Bytes of the header that are still to
// come count as zero.
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

// valid reports whether this side can send a frame with this header.
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
	// No extension gives a meaning to the reserved bits of a control frame. Only a client's are
	// checked.
	return !s.FromClient || s.header[0]&rsvBits == 0
}

// maxHead bounds the response head, far above the size of a 101's.
const maxHead = 64 << 10

// writeHead follows p up to the end of the response head, and returns how many bytes that is.
func (s *Frames) writeHead(p []byte) int {
	for i, b := range p {
		s.headLen++
		switch {
		case s.headLen > maxHead, !fits101(s.headLen-1, b):
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

// fits101 reports whether b can be the byte at index i of a response head with the status 101.
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
