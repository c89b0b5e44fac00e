package wsconn

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Most of what follows has a pipe or a tape in the place of a TCP connection, where nothing would
// be held.
func (c *Conn) coalescing() *Conn { c.coalesces = true; return c }

// unread asserts that nothing has been sent that the peer could read.
func (p *pair) unread() {
	p.t.Helper()
	require.NoError(p.t, p.peer.SetReadDeadline(time.Now().Add(time.Nanosecond)))
	n, err := p.peer.Read(make([]byte, 1))
	require.ErrorIs(p.t, err, errTimeout)
	require.Zero(p.t, n)
	require.NoError(p.t, p.peer.SetReadDeadline(time.Time{}))
}

func TestCoalescing(t *testing.T) {
	hello := text("hello")
	for _, test := range []struct {
		name string
		run  func(*testing.T, *pair)
	}{
		{"until the rest comes", func(t *testing.T, p *pair) {
			p.returned(p.writing(hello[:3]), 3, nil)
			p.unread()
			wrote := p.writing(hello[3:])
			got := make([]byte, 100)
			n, err := p.peer.Read(got)
			require.NoError(t, err)
			assert.Equal(t, hello, got[:n], "one packet")
			p.returned(wrote, 4, nil)
		}},
		{"for no longer than coalesceDelay", func(t *testing.T, p *pair) {
			p.returned(p.writing(hello[:3]), 3, nil)
			time.Sleep(coalesceDelay - 2*time.Nanosecond) // unread takes one
			p.unread()
			time.Sleep(2 * time.Nanosecond)
			p.sees(hello[:3])
			assert.True(t, p.kept.Cap() == 0, "an idle connection keeps no buffer")
			assert.False(t, p.timerRunning, "and no timer")
			wrote := p.writing(hello[3:])
			p.sees(hello[3:])
			p.returned(wrote, 4, nil)
			p.returned(p.writing(hello[:3]), 3, nil)
			p.sees(hello[:3]) // the timer runs again
		}},
		{"only at the beginning of a frame", func(t *testing.T, p *pair) {
			for _, b := range [][]byte{
				hello,                               // a whole frame
				append(text("1"), hello[:1]...),     // one, and the beginning of the next
				hello[1:3],                          // the middle of one
				append(hello[3:], text("2")[0]),     // its end, and the beginning of the next
				text("2")[1:],                       // the end
				encode(0x82, false, big)[:len(big)], // more than is worth it
				make([]byte, 4),                     // its rest
				encode(0x82, false, long)[:10],      // the beginning of one whose rest is long
				long,                                // which is that
			} {
				wrote := p.writing(b)
				p.blocked(wrote, "Write")
				p.sees(b)
				p.returned(wrote, len(b), nil)
			}
			assert.False(t, p.State().Lost)
		}},
		{"with a rest that no buffer has room for", func(t *testing.T, p *pair) {
			frame := encode(0x82, false, big)
			p.returned(p.writing(frame[:maxKept]), maxKept, nil)
			wrote := p.writing(frame[maxKept:])
			p.sees(frame)
			p.returned(wrote, len(frame)-maxKept, nil)
			time.Sleep(coalesceDelay)
			synctest.Wait()
			assert.True(t, p.kept.Cap() == 0, "an idle connection keeps no buffer")
		}},
		{"with a rest that is too long to be copied", func(t *testing.T, p *pair) {
			frame := encode(0x82, false, long[:maxCopied+1])
			p.returned(p.writing(frame[:4]), 4, nil)
			wrote := p.writing(frame[4:])
			p.sees(frame)
			p.returned(wrote, len(frame)-4, nil)
			assert.Zero(t, p.kept.Len())
			p.returned(p.writing(hello[:3]), 3, nil)
			p.unread()
			wrote = p.writing(hello[3:])
			p.sees(hello)
			p.returned(wrote, len(hello)-3, nil)
		}},
		{"and nothing stands in between", func(t *testing.T, p *pair) {
			p.returned(p.writing(hello[:3]), 3, nil)
			p.returned(p.farewell(), 0, nil)
			p.returned(do(p.DropMessage), 0, nil)
			p.unread()
			wrote := p.writing(join(hello[3:], text("swallowed")))
			p.sees(hello, byeClose)
			p.returned(wrote, 15, nil)
		}},
		{"a farewell that came while it went out alone is said at the next boundary", func(t *testing.T, p *pair) {
			p.returned(p.writing(hello[:3]), 3, nil)
			time.Sleep(coalesceDelay)
			synctest.Wait()
			p.returned(p.farewell(), 0, nil)
			p.sees(hello[:3])
			wrote := p.writing(hello[3:])
			p.sees(hello[3:], byeText, byeClose)
			p.returned(wrote, 4, nil)
		}},
		{"behind a Write that is stuck", func(t *testing.T, p *pair) {
			p.returned(p.writing(hello[:3]), 3, nil)
			wrote := p.writing(hello[3:])
			p.sees(hello[:1])
			time.Sleep(2 * coalesceDelay)
			p.returned(p.farewell(), 0, nil)
			p.sees(hello[1:], byeText, byeClose)
			p.returned(wrote, 4, nil)
		}},
		{"until the handler closes", func(t *testing.T, p *pair) {
			p.returned(p.writing(hello[:3]), 3, nil)
			shut := start(func() (int, error) { return 0, p.Close() })
			p.sees(hello[:3])
			p.returned(shut, 0, nil)
			p.ended()
			assert.EqualValues(t, 1, p.onCloses.Load())
		}},
		{"and a peer that doesn't read delays the handler's Close by no more than coalesceDelay", func(t *testing.T, p *pair) {
			p.returned(p.writing(hello[:3]), 3, nil)
			began := time.Now()
			require.NoError(t, p.Close())
			assert.Equal(t, coalesceDelay, time.Since(began))
			p.ended()
		}},
		{"and Close doesn't wait for it while it goes out alone", func(t *testing.T, p *pair) {
			p.returned(p.writing(hello[:3]), 3, nil)
			time.Sleep(coalesceDelay)
			synctest.Wait()
			began := time.Now()
			require.NoError(t, p.Close())
			assert.Zero(t, time.Since(began))
			p.ended()
			assert.EqualValues(t, 1, p.onCloses.Load())
		}},
		{"until Cut", func(t *testing.T, p *pair) {
			p.returned(p.writing(hello[:3]), 3, nil)
			p.Cut()
			p.ended()
			time.Sleep(coalesceDelay)
			p.returned(p.writing(hello[3:]), 0, io.ErrClosedPipe)
		}},
		{"by the handler's write deadline", func(t *testing.T, p *pair) {
			p.returned(p.writing(hello[:3]), 3, nil)
			require.NoError(t, p.SetWriteDeadline(time.Now().Add(coalesceDelay/2)))
			time.Sleep(2 * coalesceDelay)
			p.unread()
			p.returned(p.writing(hello[3:]), 0, errTimeout) // what has failed is the next Write's to tell
			require.NoError(t, p.SetWriteDeadline(time.Time{}))
			wrote := p.writing(hello[3:])
			p.sees(hello)
			p.returned(wrote, 4, nil)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *pair) {
				p.coalescing()
				test.run(t, p)
			})
		})
	}
}

func TestLastByteOfCoalesced(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.coalescing()
		moved := func(ago time.Duration) {
			t.Helper()
			synctest.Wait()
			assert.Equal(t, ago, time.Since(p.LastByte()))
		}
		go func() { _, _ = io.Copy(io.Discard, p.peer) }()
		for _, cut := range []int{3, 7, 7, 3, 7} {
			time.Sleep(time.Second)
			for range 5 {
				_, err := p.Write(text("hello")[:cut])
				require.NoError(t, err)
				_, err = p.Write(text("hello")[cut:])
				require.NoError(t, err)
				moved(0)
				time.Sleep(coalesceDelay - 1)
				moved(coalesceDelay - 1)
			}
		}
		time.Sleep(time.Second)
		_, err := p.Write(text("hello")[:3])
		require.NoError(t, err)
		time.Sleep(coalesceDelay + 1)
		moved(1) // alone, by the timer
		_, err = p.Write(text("hello")[3:])
		require.NoError(t, err)
		_, err = p.Write(text("hello")[:3])
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		require.NoError(t, p.Close())
		moved(0) // alone, by the handler's Close
	})
}

var (
	big  = make([]byte, 3*maxKept)
	long = make([]byte, maxRest+1)
)

func TestCoalescingUntilCloseWrite(t *testing.T) {
	inner := &tape{}
	c := New(inner, Options{Upgraded: true}).coalescing()
	_, err := c.Write(text("hello")[:3])
	require.NoError(t, err)
	require.Empty(t, inner.out)
	require.NoError(t, c.Handle().(interface{ CloseWrite() error }).CloseWrite())
	assert.Equal(t, text("hello")[:3], inner.out)
	assert.Equal(t, []string{"SetWriteDeadline", "CloseWrite"}, inner.calls)
	require.NoError(t, c.Close())
}

func TestCoalescingFails(t *testing.T) {
	broken := errors.New("broken")
	hello := text("hello")
	inner := &tape{}
	c := New(inner, Options{Upgraded: true}).coalescing()
	defer c.Close()
	_, err := c.Write(hello[:6])
	require.NoError(t, err)
	inner.fail = broken // after half of it
	n, err := c.Write(hello[6:])
	assert.ErrorIs(t, err, broken)
	assert.Zero(t, n, "nothing of this one")
	c.Farewell(bye, 0)
	assert.Equal(t, hello[:3], inner.out, "and no farewell in what is torn")
	inner.fail = nil
	n, err = c.Write(hello[6:])
	assert.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, join(hello, byeText, byeClose), inner.out)
}

// TestErrorBesideALongRest: the handler sees that a Write has failed, whichever system call it
// took.
func TestErrorBesideALongRest(t *testing.T) {
	inner, _ := loopback(t)
	c := New(inner, Options{Upgraded: true})
	defer c.Close()
	frame := encode(0x82, false, long[:maxCopied+1])
	_, err := c.Write(frame[:4])
	require.NoError(t, err)
	require.NoError(t, c.SetWriteDeadline(time.Unix(1, 0)))
	_, err = c.Write(frame[4:])
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	assert.Equal(t, "write", op.Op)
	assert.ErrorIs(t, err, errTimeout)
}

// TestOnCloseAfterTheTimer has the timer's goroutine in a Write that lags when the handler closes.
func TestOnCloseAfterTheTimer(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.coalescing()
		gate := make(chan struct{})
		p.inner = &slowWriter{p.inner, gate}
		p.returned(p.writing(text("hello")[:3]), 3, nil)
		time.Sleep(coalesceDelay)
		synctest.Wait() // it writes
		require.NoError(t, p.Close())
		assert.Zero(t, p.onCloses.Load())
		close(gate)
		synctest.Wait()
		assert.EqualValues(t, 1, p.onCloses.Load())
	})
}

// A slowWriter is a net.Conn whose Writes return when its gate opens.
type slowWriter struct {
	net.Conn
	gate chan struct{}
}

func (s *slowWriter) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	<-s.gate
	return n, err
}

// TestOnePacket has a peer read what gorilla/websocket and a library of two Writes a frame send
// over TCP: each frame comes at once, and costs no allocation more than bare.
func TestOnePacket(t *testing.T) {
	message, got := make([]byte, 4096), make([]byte, 8192) // more than gorilla's buffer, with its header
	frame := encode(0x82, false, message)
	for name, test := range map[string]func(net.Conn) func() error{
		"gorilla": func(c net.Conn) func() error {
			gorilla := gorillaOver(t, c)
			return func() error { return gorilla.WriteMessage(websocket.BinaryMessage, message) }
		},
		"in two": func(c net.Conn) func() error {
			_, err := io.WriteString(c, "HTTP/1.1 101 \r\n\r\n")
			require.NoError(t, err)
			return func() error {
				_, err1 := c.Write(frame[:4])
				_, err2 := c.Write(frame[4:])
				return errors.Join(err1, err2)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			allocs := func(inner, peer net.Conn) (float64, func() error) {
				require.NoError(t, peer.SetDeadline(time.Now().Add(10*time.Second)))
				write := test(inner)
				_, err := peer.Read(got) // the response head
				require.NoError(t, err)
				return testing.AllocsPerRun(100, func() {
					_ = write()
					_, _ = io.ReadFull(peer, got[:len(frame)])
				}), write
			}
			bare, _ := allocs(loopback(t))
			inner, peer := loopback(t)
			c := New(inner, Options{})
			defer c.Close()
			ours, write := allocs(c.Handle(), peer)
			assert.LessOrEqual(t, ours, bare)
			for range 100 {
				require.NoError(t, write())
				n, err := peer.Read(got)
				require.NoError(t, err)
				require.Equal(t, len(frame), n)
			}
		})
	}
}

// TestNotCoalesced: elsewhere two Writes are two, as they are bare, and what isn't followed is sent
// as it comes.
func TestNotCoalesced(t *testing.T) {
	tcp, _ := loopback(t)
	for name, c := range map[string]*Conn{
		"not net's own":  New(&tape{}, Options{Upgraded: true}),
		"head":           New(&tape{}, Options{}).coalescing(),
		"not followed":   lostConn(t),
		"a bare TCPConn": New(struct{ net.Conn }{tcp}, Options{Upgraded: true}),
	} {
		_, err := c.Write(text("x")[:1])
		require.NoError(t, err)
		assert.True(t, c.kept.Cap() == 0, name)
		_ = c.Close()
	}
}

func lostConn(t *testing.T) *Conn {
	c := New(&tape{}, Options{Upgraded: true}).coalescing()
	_, err := c.Write([]byte{0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	require.NoError(t, err)
	require.True(t, c.State().Lost)
	return c
}

// timerAtWork returns with the timer's goroutine waiting for the write lock, as behind a Write that
// has it for a moment: a frame was written in two Writes, and the timer, which fires for its
// beginning, has nothing to send. unlock lets it go on.
func (p *pair) timerAtWork() (unlock func()) {
	p.t.Helper()
	p.returned(p.writing(text("hello")[:3]), 3, nil)
	wrote := p.writing(text("hello")[3:])
	p.sees(text("hello"))
	p.returned(wrote, 4, nil)
	p.Conn.writing.Lock()
	time.Sleep(coalesceDelay)
	synctest.Wait()
	require.Equal(p.t, 1, p.timersFiring)
	return p.Conn.writing.Unlock
}

// TestTimerMeetsTheEnd is about the two guards of the timer's goroutine, see coalesce.go.
func TestTimerMeetsTheEnd(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *pair)
	}{
		{"a timer that Close can stop never fires, and OnClose waits for nothing", func(t *testing.T, p *pair) {
			p.returned(p.writing(text("hello")[:3]), 3, nil)
			closed := start(func() (int, error) { return 0, p.Close() })
			p.sees(text("hello")[:3])
			p.returned(closed, 0, nil)
			assert.EqualValues(t, 1, p.onCloses.Load())
			assert.False(t, p.timer.Stop(), "it is stopped")
			time.Sleep(2 * coalesceDelay)
			synctest.Wait()
			assert.Zero(t, p.refs)
		}},
		{"OnClose waits for one that Close can't stop", func(t *testing.T, p *pair) {
			unlock := p.timerAtWork()
			require.NoError(t, p.Close())
			p.ended()
			assert.Zero(t, p.onCloses.Load(), "the timer's goroutine is left")
			unlock()
			synctest.Wait()
			assert.EqualValues(t, 1, p.onCloses.Load())
		}},
		{"no timer is started once the handler has closed", func(t *testing.T, p *pair) {
			require.NoError(t, p.Close())
			p.startTimer() // of a Write that was under way
			assert.False(t, p.timerRunning)
			assert.Zero(t, p.refs)
		}},
		{"a farewell that was left to the timer is written before Close", func(t *testing.T, p *pair) {
			unlock := p.timerAtWork()
			p.returned(p.farewell(), 0, nil)
			closed := start(func() (int, error) { return 0, p.Close() })
			p.blocked(closed, "Close")
			unlock()
			p.sees(byeText, byeClose)
			p.returned(closed, 0, nil)
			assert.Equal(t, State{FarewellWritten: true, HandlerClosed: true}, p.State())
		}},
		{"a farewell that was left to the timer is written before CloseWrite", func(t *testing.T, p *pair) {
			unlock := p.timerAtWork()
			p.returned(p.farewell(), 0, nil)
			closed := start(func() (int, error) { return 0, halfCloser{p.Conn}.CloseWrite() })
			p.blocked(closed, "CloseWrite")
			unlock()
			p.sees(byeText, byeClose)
			p.returned(closed, 0, nil)
			assert.True(t, p.State().FarewellWritten)
		}},
		{"one that nobody waits for is written by the timer", func(t *testing.T, p *pair) {
			unlock := p.timerAtWork()
			p.returned(p.farewell(), 0, nil)
			unlock()
			p.sees(byeText, byeClose)
			assert.True(t, p.State().FarewellWritten)
			assert.Zero(t, p.timersFiring)
		}},
		{"Close doesn't wait for the timer without a farewell", func(t *testing.T, p *pair) {
			unlock := p.timerAtWork()
			defer unlock()
			p.returned(start(func() (int, error) { return 0, p.Close() }), 0, nil)
		}},
		{"Close waits for a Write that is stuck before the timer, but not for long", func(t *testing.T, p *pair) {
			p.returned(p.writing(text("hello")[:3]), 3, nil)
			wrote := p.writing(text("hello")[3:])
			p.sees(text("hello")[:1])
			time.Sleep(2 * coalesceDelay) // the timer's goroutine waits for the Write
			p.returned(p.farewell(), 0, nil)
			began := time.Now()
			require.NoError(t, p.Close())
			assert.Equal(t, 2*coalesceDelay, time.Since(began), "once for the Write, once for the beginning that it has left")
			p.ended()
			p.returned(wrote, 0, errTimeout)
			assert.EqualValues(t, 1, p.onCloses.Load())
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *pair) {
				p.coalescing()
				test.run(t, p)
			})
		})
	}
}

// TestFarewellLeftToTheTimer: whether the timer's goroutine gets the lock first or Close does, the
// farewell is written.
func TestFarewellLeftToTheTimer(t *testing.T) {
	for range 300 {
		inBubble(t, func(t *testing.T, p *pair) {
			p.coalescing()
			unlock := p.timerAtWork()
			p.returned(p.farewell(), 0, nil)
			closed := start(func() (int, error) { return 0, p.Close() })
			go unlock()
			p.sees(byeText, byeClose)
			p.returned(closed, 0, nil)
		})
	}
}
