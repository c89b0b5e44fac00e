package ws

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestIncoming(t *testing.T) {
	for _, test := range []struct {
		name   string
		frames [][]byte
		closed bool
		lost   bool
	}{
		{name: "nothing"},
		{name: "Close", frames: [][]byte{peerClose(1000)}, closed: true},
		{name: "Close without code", frames: [][]byte{encode(0x88, true, nil)}, closed: true},
		{name: "Close but its last byte", frames: [][]byte{peerClose(1000)[:7]}},
		{name: "Close after others", closed: true,
			frames: [][]byte{encode(0x81, true, []byte("hello")), encode(0x89, true, nil), encode(0x82, true, make([]byte, 70000)), peerClose(1001)}},
		{name: "Close among fragments", frames: [][]byte{encode(0x01, true, nil), peerClose(1001)}, closed: true},
		{name: "rubbish after Close", frames: [][]byte{peerClose(1001), {0xFF, 0, 0xFF}}, closed: true},
		{name: "Close in a payload", frames: [][]byte{encode(0x82, true, peerClose(1000))}},
		{name: "compressed", frames: [][]byte{encode(0xC1, true, []byte("x")), peerClose(1000)}, closed: true},
		{name: "unmasked", frames: [][]byte{closeFrame(1000, ""), peerClose(1000)}, lost: true},
		{name: "reserved opcode", frames: [][]byte{encode(0x87, true, nil), peerClose(1000)}, lost: true},
		{name: "reserved bit on Close", frames: [][]byte{encode(0xC8, true, nil)}, lost: true},
		{name: "fragmented Close", frames: [][]byte{encode(0x08, true, nil)}, lost: true},
		{name: "Close that is too long", frames: [][]byte{encode(0x88, true, make([]byte, 126))}, lost: true},
		{name: "64-bit length with its top bit set", frames: [][]byte{{0x82, 255, 128, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, peerClose(1000)}, lost: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := bytes.Join(test.frames, nil)
			for _, cut := range []int{1, 2, 3, 5, 1 << 20} {
				var in incoming
				var closed bool
				for b := all; len(b) > 0; b = b[min(cut, len(b)):] {
					closed = in.follow(b[:min(cut, len(b))])
				}
				assert.Equal(t, test.closed, closed, "Close seen, cut by %d", cut)
				assert.Equal(t, test.lost, in.lost, "lost, cut by %d", cut)
			}
		})
	}
}
