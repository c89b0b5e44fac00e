package format

const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	finBit  = 0x80
	rsvBits = 0x70
	maskBit = 0x80

	maxControl = 125 // RFC 6455, section 5.5: a control frame's payload
)

// A frame is how far we are in one WebSocket frame (RFC 6455, section 5.2), which may come cut
// anywhere. The zero frame stands before its first byte.
type frame struct {
	first, second byte
	have          uint8 // bytes of the header so far

	// left is the payload's length as far as the header is read. Once that is complete, it is what is
	// still to come of the payload.
	left uint64
}

// readHeader takes from p what belongs to the frame's header and returns how much that was.
func (f *frame) readHeader(p []byte) (n int) {
	for n < len(p) && !f.headerComplete() {
		switch b := p[n]; {
		case f.have == 0:
			f.first = b
		case f.have == 1:
			f.second = b
			if f.lengthSize() == 0 {
				f.left = uint64(b &^ maskBit)
			}
		case f.have < 2+f.lengthSize():
			f.left = f.left<<8 | uint64(b)
		}
		f.have++
		n++
	}
	return n
}

// readPayload takes from p what belongs to the frame's payload and returns how much that was.
func (f *frame) readPayload(p []byte) int {
	n := min(f.left, uint64(len(p)))
	f.left -= n
	return int(n)
}

// lengthSize returns the size of the length that follows the header's first two bytes.
func (f *frame) lengthSize() uint8 {
	switch f.second &^ maskBit {
	case 126:
		return 2
	case 127:
		return 8
	}
	return 0
}

func (f *frame) headerComplete() bool {
	size := 2 + f.lengthSize()
	if f.masked() {
		size += 4
	}
	return f.have >= 2 && f.have == size
}

func (f *frame) complete() bool { return f.headerComplete() && f.left == 0 }
func (f *frame) opcode() byte   { return f.first & 0x0F }
func (f *frame) final() bool    { return f.first&finBit != 0 }
func (f *frame) masked() bool   { return f.second&maskBit != 0 }
func (f *frame) control() bool  { return f.opcode() >= opClose }

// valid reports of a frame whose header is complete whether there can be one of its length and
// opcode. If not, the bytes were misread, and whatever is made of the following ones is wrong.
func (f *frame) valid() bool {
	switch f.opcode() {
	case opContinuation, opText, opBinary:
		return f.lengthSize() < 8 || f.left>>63 == 0
	case opClose, opPing, opPong:
		return f.final() && f.second&^maskBit <= maxControl
	}
	return false
}

// appendFrame appends one final, unmasked frame.
func appendFrame(b []byte, opcode byte, payload string) []byte {
	b = append(b, finBit|opcode)
	switch n := len(payload); {
	case n <= 125:
		b = append(b, byte(n))
	case n <= 0xFFFF:
		b = append(b, 126, byte(n>>8), byte(n))
	default:
		b = append(b, 127)
		for shift := 56; shift >= 0; shift -= 8 {
			b = append(b, byte(uint64(n)>>shift))
		}
	}
	return append(b, payload...)
}
