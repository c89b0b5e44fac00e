package ws

// maxHead bounds the response head that is looked through for its end; what is longer is not followed. It is far above
// what an upgrade sends (net/http's client takes 10 MB, most others 8 to 64 KiB).
const maxHead = 64 << 10

type phase uint8

const (
	inHead   phase = iota // in the response head
	inFrames              // after a 101
	opaque                // not followed (any more)
)

// outgoing follows the bytes from the handler to the peer.
type outgoing struct {
	phase  phase
	head   head
	frame  frame
	within bool // inside a fragmented message, where only control frames may stand (RFC 6455, section 5.4)
	closed bool // the handler's own Close frame is out, and nothing may follow it
}

// at tells whether a Close frame may be put in here, or with message set, a message and a Close.
func (o *outgoing) at(message bool) bool {
	return o.phase == inFrames && o.frame.have == 0 && !o.closed && !(message && o.within)
}

// follow takes note of bytes that went out.
func (o *outgoing) follow(p []byte) {
	for len(p) > 0 && o.phase != opaque {
		p = p[o.next(p):]
	}
}

// boundary is the length of the shortest prefix of p after which at(message) holds, or -1. It changes nothing.
func (o outgoing) boundary(p []byte, message bool) int {
	n := 0
	for !o.at(message) {
		if n == len(p) || o.phase == opaque {
			return -1
		}
		n += o.next(p[n:])
	}
	return n
}

// begin follows p if it is the beginning of a frame, and neither its whole nor more, and tells whether it is; else it
// leaves o in no state.
func (o *outgoing) begin(p []byte) bool {
	return o.phase == inFrames && o.frame.have == 0 && len(p) > 0 && o.next(p) == len(p) && o.phase == inFrames && o.frame.have > 0
}

// next takes at least one byte of p, and at most to the end of the head or of a frame, and returns how many it took.
func (o *outgoing) next(p []byte) int {
	if o.phase == inHead {
		n, verdict := o.head.read(p)
		o.phase = verdict
		return n
	}
	f := &o.frame
	n := f.header(p)
	if !f.headed() {
		return n
	}
	if f.masked() || !f.sane() {
		o.phase = opaque
		return n
	}
	n += f.payload(p[n:])
	if f.whole() {
		if f.opcode() == opClose {
			o.closed = true
		} else if !f.control() {
			o.within = !f.final()
		}
		*f = frame{}
	}
	return n
}

// A head is how far we are in an HTTP response head.
type head struct {
	have  int  // bytes so far
	blank bool // nothing yet in the current line
}

// read takes bytes of the head from p, and returns how many it took and the phase that the outgoing bytes are in after
// them.
func (h *head) read(p []byte) (int, phase) {
	for i, b := range p {
		h.have++
		switch {
		case h.have > maxHead, !switches(h.have-1, b):
			return i + 1, opaque
		case b == '\n' && h.blank:
			return i + 1, inFrames
		case b == '\n':
			h.blank = true
		case b != '\r':
			h.blank = false
		}
	}
	return len(p), inHead
}

// switches tells whether a head with b at place i can be a 101.
func switches(i int, b byte) bool {
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
