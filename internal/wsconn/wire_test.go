package wsconn

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

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

// A tape is a net.Conn in memory that never blocks: it keeps what is written, and reads what it was
// given and then EOF.
type tape struct {
	mu      sync.Mutex
	in, out []byte
	during  func() // called in Write, after the bytes are taken
	fail    error  // what Write returns from now on, having written half
	calls   []string
	closed  bool
}

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	during, fail := t.during, t.fail
	n := len(p)
	switch {
	case t.closed:
		n, fail = 0, net.ErrClosed
	case fail != nil:
		n /= 2
	}
	t.out = append(t.out, p[:n]...)
	t.mu.Unlock()
	if during != nil {
		during()
	}
	return n, fail
}

func (t *tape) Read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, net.ErrClosed
	}
	if len(t.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, t.in)
	t.in = t.in[n:]
	return n, nil
}

func (t *tape) called(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, what)
}

func (t *tape) Close() error {
	t.called("Close")
	t.closed = true
	return nil
}

func (t *tape) CloseWrite() error                { t.called("CloseWrite"); return nil }
func (t *tape) LocalAddr() net.Addr              { return &net.TCPAddr{Port: 1} }
func (t *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{Port: 2} }
func (t *tape) SetDeadline(time.Time) error      { t.called("SetDeadline"); return nil }
func (t *tape) SetReadDeadline(time.Time) error  { t.called("SetReadDeadline"); return nil }
func (t *tape) SetWriteDeadline(time.Time) error { t.called("SetWriteDeadline"); return nil }

var (
	errEOF     = io.EOF
	errClosed  = net.ErrClosed
	errTimeout = os.ErrDeadlineExceeded
)
