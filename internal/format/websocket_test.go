package format

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/policy"
)

func TestServerFrames(t *testing.T) {
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
				var s Frames
				for b := test.bytes; len(b) > 0; b = b[min(cut, len(b)):] {
					_, _ = s.Write(b[:min(cut, len(b))])
				}
				assert.Equal(t, test.frame, s.AtBoundary(false), "a frame may be put in, cut by %d", cut)
				assert.Equal(t, test.text, s.AtBoundary(true), "a message may be put in, cut by %d", cut)
				assert.Equal(t, test.lost, s.Lost, "lost, cut by %d", cut)
				assert.Equal(t, test.sent, s.Closed, "own Close seen, cut by %d", cut)
			}
		})
	}
}

func TestServerFramesBoundary(t *testing.T) {
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
			s := Frames{Upgraded: true}
			_, _ = s.Write(test.before)
			was := s
			assert.Equal(t, test.want, s.Boundary(bytes.Join(test.p, nil), test.message))
			assert.Equal(t, was, s, "it only looks")
		})
	}
}

func TestClientFrames(t *testing.T) {
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
				c := Frames{FromClient: true, Upgraded: true}
				for b := all; len(b) > 0; b = b[min(cut, len(b)):] {
					_, _ = c.Write(b[:min(cut, len(b))])
				}
				assert.Equal(t, test.closed, c.Closed, "Close seen, cut by %d", cut)
				assert.Equal(t, test.lost, c.Lost, "lost, cut by %d", cut)
			}
		})
	}
}

func TestWebSocketFarewell(t *testing.T) {
	for _, test := range []struct {
		name     string
		farewell policy.Farewell
		text     string
		binary   string
		close    string
	}{
		{name: "zero", close: "\x88\x00"},
		{name: "reason without a code", farewell: policy.Farewell{Reason: "x"}, close: "\x88\x00"},
		{name: "code", farewell: policy.Farewell{Code: 1001}, close: "\x88\x02\x03\xe9"},
		{name: "all", farewell: policy.Farewell{Code: 4999, Reason: "r", Message: "m"}, text: "m", close: "\x88\x03\x13\x87r"},
		{name: "longest reason", farewell: policy.Farewell{Code: 1001, Reason: strings.Repeat("r", 123)}, close: "\x88\x7d\x03\xe9" + strings.Repeat("r", 123)},
		{name: "reason cut", farewell: policy.Farewell{Code: 1001, Reason: strings.Repeat("r", 124)}, close: "\x88\x7d\x03\xe9" + strings.Repeat("r", 123)},
		{name: "reason cut between characters", farewell: policy.Farewell{Code: 1001, Reason: strings.Repeat("r", 121) + "€"}, close: "\x88\x7b\x03\xe9" + strings.Repeat("r", 121)},
		{name: "not UTF-8", farewell: policy.Farewell{Code: 1001, Reason: "a\xff", Message: "b\xfe"}, text: "b\uFFFD", close: "\x88\x06\x03\xe9a\uFFFD"},
		{name: "binary", farewell: policy.Farewell{Message: "b\xfe", Binary: true}, binary: "b\xfe", close: "\x88\x00"},
		{name: "binary without a message", farewell: policy.Farewell{Binary: true}, close: "\x88\x00"},
		{name: "long message", farewell: policy.Farewell{Message: strings.Repeat("m", 126)}, text: strings.Repeat("m", 126), close: "\x88\x00"},
		{name: "very long message", farewell: policy.Farewell{Message: strings.Repeat("m", 65536)}, text: strings.Repeat("m", 65536), close: "\x88\x00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var want []byte
			if test.text != "" {
				want = text(test.text)
			}
			if test.binary != "" {
				want = encode(0x82, false, []byte(test.binary))
			}
			assert.Equal(t, "x"+string(want)+test.close, string(AppendClose([]byte("x"), test.farewell)))
			test.farewell.Message = ""
			assert.Equal(t, test.close, string(AppendClose(nil, test.farewell)))
		})
	}
}

func TestBeginsFrame(t *testing.T) {
	hello := text("hello")
	for _, test := range []struct {
		name   string
		before []byte
		p      []byte
		begins bool
		left   uint64
	}{
		{name: "nothing", begins: false},
		{name: "a byte", p: hello[:1], begins: true},
		{name: "the header", p: hello[:2], begins: true, left: 5},
		{name: "all but a byte", p: hello[:6], begins: true, left: 1},
		{name: "a whole frame", p: hello},
		{name: "a frame and the beginning of another", p: append(text("1"), hello[:1]...)},
		{name: "the middle of one", before: hello[:1], p: hello[1:3]},
		{name: "after another", before: hello, p: hello[:3], begins: true, left: 4},
		{name: "no frame", p: []byte{0x83, 0}},
		{name: "after no frame", before: []byte{0x83, 0}, p: hello[:3]},
		{name: "a long one", p: encode(0x82, false, make([]byte, 70000))[:10], begins: true, left: 70000},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := Frames{Upgraded: true}
			_, _ = s.Write(test.before)
			was := s
			left, begins := s.BeginsFrame(test.p)
			assert.Equal(t, test.begins, begins)
			assert.Equal(t, test.left, left)
			assert.Equal(t, was, s, "it only looks")
			begins = false
			if !s.Lost {
				_, begins = new(Frames).BeginsFrame(test.p)
			}
			assert.False(t, begins, "in the response head there is no frame")
		})
	}
}

func TestFramesAllocateNothing(t *testing.T) {
	s, p := Frames{Upgraded: true}, encode(0x82, false, make([]byte, 300))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_, _ = s.Write(p[:3])
		_ = s.Boundary(p[3:], false)
		_, _ = s.Write(p[3:])
	}))
}

func TestWebSocketRequests(t *testing.T) {
	for _, test := range []struct {
		name             string
		method           string
		header           http.Header
		upgrade, connect bool
	}{
		{name: "plain", method: "GET"},
		{name: "WebSocket", method: "GET", header: http.Header{"Upgrade": {"websocket"}}, upgrade: true},
		{name: "in any case", method: "GET", header: http.Header{"Upgrade": {"WebSocket"}}, upgrade: true},
		{name: "one of two", method: "GET", header: http.Header{"Upgrade": {"h2c, websocket"}}, upgrade: true},
		{name: "in a second line", method: "GET", header: http.Header{"Upgrade": {"h2c", "websocket"}}, upgrade: true},
		{name: "another protocol", method: "GET", header: http.Header{"Upgrade": {"websocket2"}}},
		{name: "extended CONNECT", method: "CONNECT", header: http.Header{":protocol": {"WebSocket"}}, connect: true},
		{name: "of another protocol", method: "CONNECT", header: http.Header{":protocol": {"connect-udp"}}},
		{name: "plain CONNECT", method: "CONNECT"},
		{name: "no CONNECT", method: "GET", header: http.Header{":protocol": {"websocket"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &http.Request{Method: test.method, Header: test.header}
			assert.Equal(t, test.upgrade, WebSocketUpgrade(r))
			assert.Equal(t, test.connect, WebSocketConnect(r))
		})
	}
}
