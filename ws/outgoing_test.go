package ws

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOutgoing(t *testing.T) {
	switched := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
	join := func(all ...any) (b []byte) {
		for _, one := range all {
			switch one := one.(type) {
			case string:
				b = append(b, one...)
			case []byte:
				b = append(b, one...)
			case byte:
				b = append(b, one)
			}
		}
		return b
	}
	large := func(n int) []byte { return encode(0x82, false, make([]byte, n)) }
	for _, test := range []struct {
		name        string
		bytes       []byte
		frame, text bool // at the end, a frame or a text message may be put in
		lost, sent  bool
	}{
		{name: "nothing yet"},
		{name: "part of the head", bytes: []byte(switched[:len(switched)-1])},
		{name: "head", bytes: []byte(switched), frame: true, text: true},
		{name: "head with bare line feeds", bytes: []byte("HTTP/1.0 101\n\n"), frame: true, text: true},
		{name: "refused", bytes: []byte("HTTP/1.1 403 Forbidden\r\n\r\n"), lost: true},
		{name: "status that only begins like a 101", bytes: []byte("HTTP/1.1 1010 X\r\n\r\n"), lost: true},
		{name: "no HTTP", bytes: []byte("SSH-2.0-x\r\n"), lost: true},
		{name: "endless head", bytes: []byte("HTTP/1.1 101 " + strings.Repeat("x", 64<<10)), lost: true},
		{name: "longest head", bytes: []byte("HTTP/1.1 101 " + strings.Repeat("x", 64<<10-13-4) + "\r\n\r\n"), frame: true, text: true},
		{name: "frame", bytes: join(switched, text("hello")), frame: true, text: true},
		{name: "empty frame", bytes: join(switched, text("")), frame: true, text: true},
		{name: "one byte of a header", bytes: join(switched, byte(0x81))},
		{name: "empty frame's header cut", bytes: join(switched, text("")[:1])},
		{name: "frame but its last byte", bytes: join(switched, text("hello")[:6])},
		{name: "125 bytes", bytes: join(switched, large(125)), frame: true, text: true},
		{name: "126 bytes", bytes: join(switched, large(126)), frame: true, text: true},
		{name: "126 bytes but one", bytes: join(switched, large(126)[:129])},
		{name: "65535 bytes", bytes: join(switched, large(65535)), frame: true, text: true},
		{name: "65536 bytes", bytes: join(switched, large(65536)), frame: true, text: true},
		{name: "65536 bytes but one", bytes: join(switched, large(65536)[:65545])},
		{name: "64-bit length for a short payload", bytes: join(switched, []byte{0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 7}), frame: true, text: true},
		{name: "compressed", bytes: join(switched, encode(0xC1, false, []byte("x"))), frame: true, text: true},
		{name: "first fragment", bytes: join(switched, encode(0x01, false, []byte("x"))), frame: true},
		{name: "ping among fragments", bytes: join(switched, encode(0x01, false, []byte("x")), encode(0x89, false, nil)), frame: true},
		{name: "middle fragment", bytes: join(switched, encode(0x01, false, nil), encode(0x00, false, nil)), frame: true},
		{name: "last fragment", bytes: join(switched, encode(0x01, false, nil), encode(0x80, false, nil)), frame: true, text: true},
		{name: "own Close", bytes: join(switched, closeFrame(1000, "")), sent: true},
		{name: "own Close but its last byte", bytes: join(switched, closeFrame(1000, "x")[:4])},
		{name: "masked", bytes: join(switched, encode(0x81, true, []byte("x"))), lost: true},
		{name: "reserved opcode", bytes: join(switched, encode(0x83, false, nil)), lost: true},
		{name: "reserved control opcode", bytes: join(switched, encode(0x8B, false, nil)), lost: true},
		{name: "64-bit length with its top bit set", bytes: join(switched, []byte{0x82, 127, 128, 0, 0, 0, 0, 0, 0, 0}), lost: true},
		{name: "long ping", bytes: join(switched, encode(0x89, false, make([]byte, 126))), lost: true},
		{name: "fragmented ping", bytes: join(switched, encode(0x09, false, nil)), lost: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, cut := range []int{1, 2, 3, 7, 4096, 1 << 20} {
				var o outgoing
				for b := test.bytes; len(b) > 0; b = b[min(cut, len(b)):] {
					o.follow(b[:min(cut, len(b))])
				}
				assert.Equal(t, test.frame, o.at(false), "a frame may be put in, cut by %d", cut)
				assert.Equal(t, test.text, o.at(true), "a message may be put in, cut by %d", cut)
				assert.Equal(t, test.lost, o.phase == opaque, "lost, cut by %d", cut)
				assert.Equal(t, test.sent, o.closed, "own Close seen, cut by %d", cut)
			}
		})
	}
}

func TestOutgoingBoundary(t *testing.T) {
	start := encode(0x01, false, []byte("begin"))
	ping := encode(0x89, false, nil)
	end := encode(0x80, false, []byte("end"))
	for _, test := range []struct {
		name    string
		before  []byte
		p       [][]byte
		message bool
		want    int
	}{
		{name: "here already", p: [][]byte{text("x")}, want: 0},
		{name: "nothing comes", before: start[:3], want: -1},
		{name: "within the frame", before: start[:1], p: [][]byte{start[1:4]}, want: -1},
		{name: "the frame's end", before: start[:1], p: [][]byte{start[1:], end}, want: len(start) - 1},
		{name: "the message's end", before: start[:1], p: [][]byte{start[1:], ping, end, text("x")}, message: true,
			want: len(start) - 1 + len(ping) + len(end)},
		{name: "own Close comes first", before: start, p: [][]byte{closeFrame(1000, "")}, message: true, want: -1},
		{name: "after garbage", before: start[:1], p: [][]byte{start[1:], {0x8F, 0}, end}, message: true, want: -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := outgoing{phase: inFrames}
			o.follow(test.before)
			was := o
			assert.Equal(t, test.want, o.boundary(bytes.Join(test.p, nil), test.message))
			assert.Equal(t, was, o, "it only looks")
		})
	}
}
