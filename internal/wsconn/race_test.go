package wsconn

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestConcurrentWriters has writers that write each frame in two, header and payload, and farewells
// at random moments: nothing is torn, and every writer ends.
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
				c = New(inner, Options{Upgraded: true, OnClose: func() { over <- c.State() }})
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
					c.Farewell(bye, 0)
					if i%2 == 0 {
						c.DropMessage()
					}
				})
				wg.Go(func() { _, _ = io.Copy(io.Discard, handler) })
				go func() {
					wg.Wait()
					_ = handler.Close()
				}()

				wires, left, err := readUntilClose(peer)
				require.NoError(t, err)
				require.Empty(t, left, "whole frames only, and nothing after the Close")
				last := wires[len(wires)-1]
				require.EqualValues(t, 0x8, last.opcode)
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
				_, err = peer.Write(peerClose(1012))
				require.NoError(t, err)
				require.Equal(t, State{FarewellWritten: true, PeerSentClose: true, HandlerClosed: true}, <-over)
				_, err = peer.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
				_ = peer.Close()
			}
		})
	}
	assert.NotZero(t, messages, "the message was said")
	assert.NotZero(t, amid, "there were farewells amid the writing")
}

// TestFarewellsTakenBackAmidWrites has a writer that cuts its frames anywhere, as a proxy does, and
// farewells that are taken back until one isn't: every frame in front of that goes out, in order.
func TestFarewellsTakenBackAmidWrites(t *testing.T) {
	kinds := map[string]func(testing.TB) (net.Conn, net.Conn){
		"TCP":  loopback,
		"pipe": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() },
	}
	for kind, dial := range kinds {
		t.Run(kind, func(t *testing.T) {
			for range 50 {
				inner, peer := dial(t)
				_ = peer.SetDeadline(time.Now().Add(10 * time.Second)) // what is never said fails here
				over := make(chan State, 1)
				var refusals atomic.Int32
				refusals.Store(rand.Int32N(20))
				var c *Conn
				c = New(inner, Options{Upgraded: true, OnClose: func() { over <- c.State() },
					BeforeFarewell: func() bool { return refusals.Add(-1) < 0 }})
				handler := c.Handle()
				var said atomic.Bool
				var wg sync.WaitGroup
				wrote := make(chan struct{}, 1)
				wg.Go(func() {
					for !said.Load() {
						<-wrote
						c.Farewell(bye, 0)
						if rand.IntN(2) == 0 {
							c.DropMessage()
						}
						said.Store(c.State().FarewellWritten)
					}
				})
				wg.Go(func() {
					var left []byte
					defer close(wrote)
					for i := 0; !said.Load(); {
						for range rand.IntN(4) {
							left = append(left, text(fmt.Sprintf("%08d", i))...)
							i++
						}
						n := rand.IntN(len(left) + 1)
						got, err := handler.Write(left[:n])
						assert.NoError(t, err)
						assert.Equal(t, n, got)
						left = left[n:]
						select {
						case wrote <- struct{}{}:
						default:
						}
					}
				})
				go func() {
					_, _ = io.Copy(io.Discard, handler)
					wg.Wait()
					_ = handler.Close()
				}()
				wires, left, err := readUntilClose(peer)
				require.NoError(t, err)
				require.Empty(t, left)
				wires = wires[:len(wires)-1]
				if n := len(wires); n > 0 && string(wires[n-1].payload) == "bye" {
					wires = wires[:n-1]
				}
				for i, w := range wires {
					require.Equal(t, fmt.Sprintf("%08d", i), string(w.payload))
				}
				_, err = peer.Write(peerClose(1012))
				require.NoError(t, err)
				require.Equal(t, State{FarewellWritten: true, PeerSentClose: true, HandlerClosed: true}, <-over)
				_ = peer.Close()
			}
		})
	}
}

// A wire is a frame that a peer has read.
type wire struct {
	opcode  byte
	payload []byte
}

// readUntilClose reads short, unmasked and unfragmented frames until a Close, and returns them with
// what came behind it.
func readUntilClose(r io.Reader) (all []wire, left []byte, err error) {
	b := bufio.NewReader(r)
	for {
		header := make([]byte, 2)
		if _, err := io.ReadFull(b, header); err != nil {
			return all, nil, err
		}
		size := int(header[1])
		if size == 126 {
			long := make([]byte, 2)
			if _, err := io.ReadFull(b, long); err != nil {
				return all, nil, err
			}
			size = int(binary.BigEndian.Uint16(long))
		}
		if header[0]&0xF0 != 0x80 || header[1] > 126 {
			return all, nil, fmt.Errorf("no frame that was sent begins with %x", header)
		}
		w := wire{opcode: header[0] & 0x0F, payload: make([]byte, size)}
		if _, err := io.ReadFull(b, w.payload); err != nil {
			return all, nil, err
		}
		if all = append(all, w); w.opcode == 0x8 {
			left, err = b.Peek(b.Buffered())
			return all, left, err
		}
	}
}
