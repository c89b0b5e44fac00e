package format

import (
	"encoding/binary"
	"errors"
	"io"
)

// A wire is one frame as these tests read it: from a whole buffer, by place, with nothing shared
// with the code under test.
type wire struct {
	fin     bool
	rsv     byte
	op      byte
	masked  bool
	payload []byte // unmasked
	end     int    // where it ends in the buffer
}

var errWire = errors.New("no frame")

// readWire reads the frame that begins at b[at]; io.ErrUnexpectedEOF if b ends within it.
func readWire(b []byte, at int) (wire, error) {
	if len(b) < at+2 {
		return wire{}, io.ErrUnexpectedEOF
	}
	w := wire{fin: b[at]>>7 == 1, rsv: b[at] >> 4 & 7, op: b[at] & 15, masked: b[at+1]>>7 == 1}
	size, from := uint64(b[at+1]&127), at+2
	switch size {
	case 126:
		if len(b) < from+2 {
			return wire{}, io.ErrUnexpectedEOF
		}
		size, from = uint64(binary.BigEndian.Uint16(b[from:])), from+2
	case 127:
		if len(b) < from+8 {
			return wire{}, io.ErrUnexpectedEOF
		}
		size, from = binary.BigEndian.Uint64(b[from:]), from+8
	}
	var key [4]byte
	if w.masked {
		if len(b) < from+4 {
			return wire{}, io.ErrUnexpectedEOF
		}
		key, from = [4]byte(b[from:]), from+4
	}
	known := map[byte]bool{0: true, 1: true, 2: true, 8: true, 9: true, 10: true}
	if !known[w.op] || size >= 1<<63 || w.op > 7 && (!w.fin || b[at+1]&127 > 125) {
		return wire{}, errWire
	}
	if uint64(len(b)-from) < size {
		return wire{}, io.ErrUnexpectedEOF
	}
	w.end = from + int(size)
	w.payload = append([]byte{}, b[from:w.end]...)
	for i := range w.payload {
		w.payload[i] ^= key[i%4] // the zero key changes nothing
	}
	return w, nil
}

// encode writes a frame in the way of the tests.
func encode(first byte, masked bool, payload []byte) []byte {
	b := []byte{first, 0}
	switch n := len(payload); {
	case n < 126:
		b[1] = byte(n)
	case n < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if !masked {
		return append(b, payload...)
	}
	b[1] |= 128
	key := [4]byte{0x12, 0x34, 0x56, 0x78}
	b = append(b, key[:]...)
	for i, p := range payload {
		b = append(b, p^key[i%4])
	}
	return b
}

func text(s string) []byte { return encode(0x81, false, []byte(s)) }

func closeFrame(code int, reason string) []byte {
	return encode(0x88, false, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}

func peerClose(code int) []byte {
	return encode(0x88, true, binary.BigEndian.AppendUint16(nil, uint16(code)))
}
