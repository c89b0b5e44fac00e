package websocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Opcodes (RFC 6455, section 5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// A frame is a frame from a server (RFC 6455, section 5.2).
type frame struct {
	final   bool
	rsv     byte
	opcode  byte
	payload []byte
}

func (f frame) control() bool { return f.opcode >= opClose }

// errPartialFrame is the error of a stream that ends within a frame.
var errPartialFrame = errors.New("the stream ends within a frame")

// readFrame reads a frame from a server. Whatever the RFC forbids is an error. It returns io.EOF if
// the stream ends before the frame.
func readFrame(r io.Reader) (frame, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return frame{}, err
	}
	f := frame{final: head[0]&0x80 != 0, rsv: head[0] >> 4 & 7, opcode: head[0] & 0x0F}
	if err := readFull(r, head[:1]); err != nil {
		return f, err
	}
	masked, size := head[0]&0x80 != 0, uint64(head[0]&0x7F)
	switch short := size; short {
	case 126:
		if err := readFull(r, head[:2]); err != nil {
			return f, err
		}
		if size = uint64(binary.BigEndian.Uint16(head[:2])); size < 126 {
			return f, fmt.Errorf("a length of %d in 16 bits; the shortest form is a must", size)
		}
	case 127:
		if err := readFull(r, head[:8]); err != nil {
			return f, err
		}
		if size = binary.BigEndian.Uint64(head[:8]); size <= 0xFFFF {
			return f, fmt.Errorf("a length of %d in 64 bits; the shortest form is a must", size)
		}
	}
	switch {
	case masked:
		return f, errors.New("a server's frame is masked")
	case f.opcode > opBinary && f.opcode < opClose, f.opcode > opPong:
		return f, fmt.Errorf("opcode %#x is reserved", f.opcode)
	case f.control() && (!f.final || size > 125 || f.rsv != 0):
		return f, fmt.Errorf("a control frame (%#x) with final=%v, reserved bits %03b and %d bytes", f.opcode, f.final, f.rsv, size)
	case size > 64<<20:
		return f, fmt.Errorf("a frame of %d bytes, which nobody here sends", size)
	}
	f.payload = make([]byte, size)
	return f, readFull(r, f.payload)
}

// readFull reads len(p) bytes, which have to be there.
func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", errPartialFrame, err)
	}
	return err
}

// clientFrame returns the bytes of a frame from a client, which is masked.
func clientFrame(final bool, opcode byte, payload []byte) []byte {
	b := []byte{opcode, 0x80}
	if final {
		b[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b[1] |= byte(n)
	case n < 1<<16:
		b[1] |= 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] |= 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	key := [4]byte{0x12, 0x34, 0x56, 0x78}
	b = append(b, key[:]...)
	for i, p := range payload {
		b = append(b, p^key[i%4])
	}
	return b
}

// validCode reports whether a code may be sent in a Close frame (RFC 6455, section 7.4, and IANA's
// registry).
func validCode(code int) bool {
	switch code {
	case 1004, 1005, 1006, 1015:
		return false
	}
	return 1000 <= code && code <= 1014 || 3000 <= code && code <= 4999
}
