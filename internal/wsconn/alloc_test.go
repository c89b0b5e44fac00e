package wsconn

import (
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endless reads a masked frame again and again.
type endless struct {
	tape
	frame []byte
}

func (e *endless) Read(p []byte) (int, error)  { return copy(p, e.frame), nil }
func (e *endless) Write(p []byte) (int, error) { return len(p), nil }

func TestNoAllocations(t *testing.T) {
	inner := &endless{frame: encode(0x81, true, []byte("hello"))}
	c := New(inner, Options{Upgraded: true})
	var h net.Conn = c.Handle()
	small, large := text("hello"), encode(0x82, false, make([]byte, 70000))
	buf := make([]byte, len(inner.frame))
	for name, f := range map[string]func() (int, error){
		"small write": func() (int, error) { return h.Write(small) },
		"large write": func() (int, error) { return h.Write(large) },
		"read":        func() (int, error) { return h.Read(buf) },
	} {
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			if _, err := f(); err != nil {
				t.Fatal(err)
			}
		}), name)
	}
	assert.False(t, c.State().Lost)
	c.Farewell(bye, 0)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = h.Write(small) }), "swallowed write")
}

// BenchmarkWrite compares writing a frame to a TCP connection with writing it through a Conn. "mem"
// is a connection that costs nothing, and shows what we add.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{64, 4 << 10, 64 << 10} {
		frame := encode(0x82, false, make([]byte, size))
		run := func(name string, c io.Writer) {
			b.Run(name+"/"+strconv.Itoa(size), func(b *testing.B) {
				b.SetBytes(int64(len(frame)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Write(frame); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("mem", New(&endless{}, Options{Upgraded: true}).Handle())
		inner, peer := loopback(b)
		go func() { _, _ = io.Copy(io.Discard, peer) }()
		run("bare", inner)
		run("conn", New(inner, Options{Upgraded: true}).Handle())
	}
}

// BenchmarkGorilla writes messages that are larger than gorilla's buffer, of which it makes one
// system call on a bare TCP connection: so must we.
func BenchmarkGorilla(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		for _, wrapped := range []bool{false, true} {
			name := map[bool]string{false: "bare/", true: "conn/"}[wrapped] + strconv.Itoa(size)
			b.Run(name, func(b *testing.B) {
				inner, peer := loopback(b)
				go func() { _, _ = io.Copy(io.Discard, peer) }()
				if wrapped {
					inner = New(inner, Options{Upgraded: true}).Handle()
				}
				c := gorillaOver(b, inner)
				message := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.WriteMessage(websocket.BinaryMessage, message); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// gorillaOver is a gorilla server over a connection that is already upgraded.
func gorillaOver(tb testing.TB, inner net.Conn) *websocket.Conn {
	tb.Helper()
	c, err := (&websocket.Upgrader{}).Upgrade(&upgrade{conn: inner}, upgradeRequest(), nil)
	require.NoError(tb, err)
	return c
}
