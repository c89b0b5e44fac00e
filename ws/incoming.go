package ws

// incoming follows the bytes from the peer to the handler, for the one thing that we need of them: the peer's Close.
type incoming struct {
	frame  frame
	lost   bool // not understood: followed no more
	closed bool // a whole Close frame has arrived; what comes after it has no meaning (RFC 6455, section 5.5.1)
}

// follow takes note of bytes that came in, and tells whether the peer's Close has arrived.
func (in *incoming) follow(p []byte) bool {
	for len(p) > 0 && !in.lost && !in.closed {
		p = p[in.next(p):]
	}
	return in.closed
}

func (in *incoming) next(p []byte) int {
	f := &in.frame
	n := f.header(p)
	if !f.headed() {
		return n
	}
	// A client masks all it sends (RFC 6455, section 5.1), and no extension gives a meaning to the reserved bits of a
	// control frame: where it is otherwise, this is no frame.
	if !f.masked() || !f.sane() || f.control() && f.first&rsvBits != 0 {
		in.lost = true
		return n
	}
	n += f.payload(p[n:])
	if f.whole() {
		in.closed = f.opcode() == opClose
		*f = frame{}
	}
	return n
}
