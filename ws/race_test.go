package ws

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loopback returns both ends of a TCP connection.
func loopback(t testing.TB) (inner, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	peer, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	inner = <-accepted
	t.Cleanup(func() { _ = inner.Close(); _ = peer.Close() })
	return inner, peer
}

// TestConcurrentWriters has writers that write each frame in two, header and payload, and farewells at random moments:
// nothing is torn, and every writer ends.
func TestConcurrentWriters(t *testing.T) {
	const conns, writers, frames = 200, 3, 60
	kinds := map[string]func(testing.TB) (net.Conn, net.Conn){
		"TCP":  loopback,
		"pipe": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() },
	}
	messages, amid := 0, 0
	for kind, dial := range kinds {
		t.Run(kind, func(t *testing.T) {
			for i := range conns {
				inner, peer := dial(t)
				_ = peer.SetDeadline(time.Now().Add(10 * time.Second)) // what is never said fails here
				over := make(chan State, 1)
				var c *Conn
				c = New(inner, Options{Switched: true, OnClose: func() { over <- c.State() }})
				handler := c.Handle()

				frame := encode(0x82, false, make([]byte, rand.IntN(300)))
				cut := min(4, len(frame)) // the header, or so
				var library sync.Mutex    // keeps a frame's two writes together
				var wg sync.WaitGroup
				moment, asked := 1+rand.IntN(writers*frames), make(chan bool)
				for range writers {
					wg.Go(func() {
						for range frames {
							library.Lock()
							_, err1 := handler.Write(frame[:cut])
							if moment--; moment == 0 {
								close(asked)
							}
							_, err2 := handler.Write(frame[cut:])
							library.Unlock()
							assert.NoError(t, err1)
							assert.NoError(t, err2)
						}
					})
				}
				wg.Go(func() {
					<-asked
					c.Farewell(bye)
					if i%2 == 0 {
						c.Insist()
					}
				})
				wg.Go(func() { _, _ = io.Copy(io.Discard, handler) })
				go func() {
					wg.Wait()
					_ = handler.Close()
				}()

				wires, left := readUntilClose(peer)
				require.Empty(t, left, "whole frames only, and nothing after the Close")
				last := wires[len(wires)-1]
				require.EqualValues(t, opClose, last.op)
				require.Equal(t, byeClose[2:], last.payload)
				wires = wires[:len(wires)-1]
				if n := len(wires); n > 0 && string(wires[n-1].payload) == "bye" {
					messages++
					wires = wires[:n-1]
				}
				for _, w := range wires {
					require.Equal(t, frame[len(frame)-len(w.payload):], w.payload)
				}
				if len(wires) < writers*frames {
					amid++
				}
				_, err := peer.Write(peerClose(1012))
				require.NoError(t, err)
				require.Equal(t, State{Following: true, Said: true, Answered: true, Closed: true}, <-over)
				_, err = peer.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
				_ = peer.Close()
			}
		})
	}
	assert.NotZero(t, messages, "the message was said")
	assert.NotZero(t, amid, "there were farewells amid the writing")
}

// readUntilClose reads frames until a Close, and returns them with what is left that is none.
func readUntilClose(r io.Reader) ([]wire, []byte) {
	var all []wire
	var b []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		b = append(b, buf[:n]...)
		for w, bad := readWire(b, 0); bad == nil; w, bad = readWire(b, 0) {
			all, b = append(all, w), b[w.end:]
			if w.op == opClose {
				return all, b
			}
		}
		if err != nil {
			return all, b
		}
	}
}
