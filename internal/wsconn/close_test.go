package wsconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// said has the farewell said and read.
func (p *pair) said() {
	p.t.Helper()
	asked := p.farewell()
	p.sees(byeText, byeClose)
	p.returned(asked, 0, nil)
}

// ended asserts that the peer reads the end of the connection.
func (p *pair) ended() {
	p.t.Helper()
	_ = p.peer.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := p.peer.Read(make([]byte, 1))
	require.ErrorIs(p.t, err, io.EOF)
	synctest.Wait()
}

// open asserts that the inner connection is open.
func (p *pair) open() {
	p.t.Helper()
	require.NoError(p.t, p.peer.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err := p.peer.Read(make([]byte, 1))
	require.ErrorIs(p.t, err, errTimeout)
	require.NoError(p.t, p.peer.SetReadDeadline(time.Time{}))
}

func TestClose(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *pair)
	}{
		{"without a farewell is the inner connection's", func(t *testing.T, p *pair) {
			read, wrote := p.reading(), p.writing(text("x"))
			require.NoError(t, p.Close())
			p.ended()
			p.returned(read, 0, io.ErrClosedPipe)
			p.returned(wrote, 0, io.ErrClosedPipe)
			p.returned(p.reading(), 0, errClosed)
			p.returned(p.writing(nil), 0, errClosed)
			assert.EqualValues(t, 1, p.onCloses.Load())
			assert.Equal(t, State{HandlerClosed: true}, p.State())
		}},
		{"again is an error", func(t *testing.T, p *pair) {
			require.NoError(t, p.Close())
			err := p.Close()
			assert.ErrorIs(t, err, errClosed)
			assert.Equal(t, "close pipe pipe->pipe: use of closed network connection", err.Error())
		}},
		{"before a farewell leaves nothing to say", func(t *testing.T, p *pair) {
			require.NoError(t, p.Close())
			p.returned(p.farewell(), 0, nil)
			p.returned(do(p.DropMessage), 0, nil)
			p.returned(do(p.Finish), 0, nil)
			assert.False(t, p.State().FarewellWritten)
		}},
		{"in the middle of a frame, with a farewell due, waits for nothing", func(t *testing.T, p *pair) {
			wrote := p.writing(text("hello"))
			p.sees(text("hello")[:1])
			p.returned(p.farewell(), 0, nil)
			require.NoError(t, p.Close())
			p.ended()
			p.returned(wrote, 1, io.ErrClosedPipe)
		}},
		{"after both Closes closes at once", func(t *testing.T, p *pair) {
			p.said()
			read := p.reading()
			p.says(peerClose(1012))
			p.returned(read, 8, nil)
			p.open()
			require.NoError(t, p.Close())
			assert.EqualValues(t, 1, p.onCloses.Load())
			p.ended()
			p.Cut()
			assert.False(t, p.State().WasCut, "there was nothing to cut")
		}},
		{"after ours returns, and waits for the peer's Close", func(t *testing.T, p *pair) {
			p.said()
			read := p.reading()
			p.blocked(read, "Read")
			require.NoError(t, p.Close())
			p.returned(read, 0, errClosed)
			p.open()
			for range 3 {
				p.returned(p.says(encode(0x82, true, make([]byte, 5000))), 5008, nil)
			}
			assert.Zero(t, p.onCloses.Load())
			assert.False(t, p.State().PeerSentClose)
			p.returned(p.says(peerClose(1012)[:5]), 5, nil)
			p.open()
			p.returned(p.says(peerClose(1012)[5:]), 3, nil)
			p.ended()
			assert.EqualValues(t, 1, p.onCloses.Load())
			assert.Equal(t, State{FarewellWritten: true, PeerSentClose: true, HandlerClosed: true}, p.State())
		}},
		{"after ours ends with the peer", func(t *testing.T, p *pair) {
			p.said()
			require.NoError(t, p.Close())
			require.NoError(t, p.peer.Close())
			synctest.Wait()
			assert.EqualValues(t, 1, p.onCloses.Load())
			assert.Equal(t, State{FarewellWritten: true, HandlerClosed: true}, p.State())
		}},
		{"after ours ends with Cut, whatever the peer does", func(t *testing.T, p *pair) {
			p.said()
			require.NoError(t, p.Close())
			p.says([]byte{0xFF}) // nothing that could be a frame
			flood := p.says(make([]byte, 5000))
			p.returned(flood, 5000, nil)
			assert.Zero(t, p.onCloses.Load())
			p.returned(do(p.Cut), 0, nil)
			assert.EqualValues(t, 1, p.onCloses.Load())
			assert.Equal(t, State{FarewellWritten: true, HandlerClosed: true, WasCut: true}, p.State())
		}},
		{"after Cut is the end", func(t *testing.T, p *pair) {
			p.said()
			p.Cut()
			assert.Zero(t, p.onCloses.Load())
			require.NoError(t, p.Close())
			assert.EqualValues(t, 1, p.onCloses.Load(), "no goroutine is left that could call it")
			assert.Equal(t, State{FarewellWritten: true, HandlerClosed: true, WasCut: true}, p.State())
		}},
		{"while ours is on its way lets it arrive", func(t *testing.T, p *pair) {
			asked := p.farewell()
			p.sees(byeText)
			require.NoError(t, p.Close())
			require.NoError(t, p.SetDeadline(time.Now().Add(-time.Hour)), "without effect")
			p.returned(p.says(peerClose(1000)), 8, nil) // it crosses ours
			p.blocked(asked, "the farewell")
			p.sees(byeClose)
			p.returned(asked, 0, nil)
			p.ended()
			assert.Equal(t, State{FarewellWritten: true, PeerSentClose: true, HandlerClosed: true}, p.State())
		}},
		{"with Finish on top reads once", func(t *testing.T, p *pair) {
			p.said()
			require.NoError(t, p.Close())
			finished := do(p.Finish)
			p.blocked(finished, "Finish")
			p.returned(p.says(peerClose(1012)[:3]), 3, nil)
			p.returned(p.says(peerClose(1012)[3:]), 5, nil)
			p.returned(finished, 0, nil)
			assert.True(t, p.State().PeerSentClose)
			assert.EqualValues(t, 1, p.onCloses.Load())
		}},
	} {
		t.Run(test.name, func(t *testing.T) { inBubble(t, test.run) })
	}
}

func TestFinish(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *pair)
	}{
		{"without a farewell only ends the reading", func(t *testing.T, p *pair) {
			read := p.reading()
			p.blocked(read, "Read")
			p.returned(do(p.Finish), 0, nil)
			p.returned(read, 0, errEOF)
			require.NoError(t, p.SetReadDeadline(time.Time{}))
			p.returned(p.reading(), 0, errEOF)
			wrote := p.writing(text("x"))
			p.sees(text("x"))
			p.returned(wrote, 3, nil)
			p.open()
		}},
		{"behind a stuck writer doesn't wait for it", func(t *testing.T, p *pair) {
			wrote, read := p.writing(text("hello")), p.reading()
			p.sees(text("hello")[:1])
			p.returned(p.farewell(), 0, nil)
			p.returned(do(p.DropMessage), 0, nil)
			p.returned(do(p.Finish), 0, nil)
			p.returned(read, 0, errEOF)
			p.blocked(wrote, "Write")
			p.returned(do(p.Cut), 0, nil)
			p.returned(wrote, 1, io.ErrClosedPipe)
			assert.Zero(t, p.onCloses.Load(), "the handler hasn't closed")
			require.NoError(t, p.Close())
			assert.EqualValues(t, 1, p.onCloses.Load())
			assert.Equal(t, State{HandlerClosed: true, WasCut: true}, p.State())
		}},
		{"waits for a Farewell that is about to be written", func(t *testing.T, p *pair) {
			p.flushing.Add(1) // in flushPending, with the lock
			p.Conn.writing.Lock()
			p.returned(p.farewell(), 0, nil)
			read, finished := p.reading(), do(p.Finish)
			p.blocked(finished, "Finish")
			p.blocked(read, "Read, whose handler would close the connection")
			p.Conn.writing.Unlock()
			p.flushing.Add(-1)
			p.sees(byeClose)
			p.returned(read, 0, errEOF)
			p.returned(p.says(peerClose(1012)), 8, nil)
			p.returned(finished, 0, nil)
		}},
		{"reads after the handler's own Close frame", func(t *testing.T, p *pair) {
			wrote := p.writing(closeFrame(1000, ""))
			p.sees(closeFrame(1000, ""))
			p.returned(wrote, 4, nil)
			finished := do(p.Finish)
			p.blocked(finished, "Finish")
			p.returned(p.reading(), 0, errEOF)
			p.returned(p.says(peerClose(1000)), 8, nil)
			p.returned(finished, 0, nil)
		}},
		{"reads until the peer's Close", func(t *testing.T, p *pair) {
			p.said()
			read, two := p.reading(), p.reading()
			finished := do(p.Finish)
			p.returned(read, 0, errEOF)
			p.returned(two, 0, errEOF)
			p.returned(p.reading(), 0, errEOF)
			p.blocked(finished, "Finish")
			require.NoError(t, p.SetReadDeadline(time.Now()), "without effect")
			require.NoError(t, p.SetDeadline(time.Now()))
			time.Sleep(time.Hour)
			p.blocked(finished, "Finish")
			p.returned(p.writing(text("swallowed")), 11, nil)
			p.returned(p.says(join(encode(0x81, true, []byte("x")), peerClose(1012))), 15, nil)
			p.returned(finished, 0, nil)
			p.ended()
			p.returned(p.writing(text("x")), 0, errClosed)
			p.returned(do(p.Finish), 0, nil)
			assert.Zero(t, p.onCloses.Load(), "the handler hasn't closed")
			require.NoError(t, p.Close())
			assert.EqualValues(t, 1, p.onCloses.Load())
			assert.Equal(t, State{FarewellWritten: true, PeerSentClose: true, HandlerClosed: true}, p.State())
		}},
		{"after an answer closes at once", func(t *testing.T, p *pair) {
			p.said()
			read := p.reading()
			p.says(peerClose(1012))
			p.returned(read, 8, nil)
			p.returned(do(p.Finish), 0, nil)
			p.ended()
		}},
		{"sees the handler's own Close through", func(t *testing.T, p *pair) {
			wrote := p.writing(closeFrame(1000, ""))
			p.sees(closeFrame(1000, ""))
			p.returned(wrote, 4, nil)
			finished := do(p.Finish)
			p.blocked(finished, "Finish")
			p.returned(p.says(peerClose(1000)), 8, nil)
			p.returned(finished, 0, nil)
			p.ended()
			assert.Equal(t, State{HandlerSentClose: true, PeerSentClose: true}, p.State())
		}},
		{"twice waits twice", func(t *testing.T, p *pair) {
			p.said()
			one, two := do(p.Finish), do(p.Finish)
			p.blocked(one, "Finish")
			p.blocked(two, "Finish")
			p.returned(do(p.Cut), 0, nil)
			p.returned(one, 0, nil)
			p.returned(two, 0, nil)
		}},
		{"and the handler closes meanwhile", func(t *testing.T, p *pair) {
			p.said()
			finished := do(p.Finish)
			require.NoError(t, p.Close())
			p.blocked(finished, "Finish")
			assert.Zero(t, p.onCloses.Load())
			p.returned(p.says(peerClose(1012)), 8, nil)
			p.returned(finished, 0, nil)
			assert.EqualValues(t, 1, p.onCloses.Load())
		}},
	} {
		t.Run(test.name, func(t *testing.T) { inBubble(t, test.run) })
	}
}

func TestAnswerBeforeTheFarewell(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		read := p.reading()
		p.says(peerClose(1000))
		p.returned(read, 8, nil)
		pending := p.reading()
		p.blocked(pending, "Read")
		p.said()
		p.returned(pending, 0, errEOF) // the handshake is complete: there is nothing to wait for
		assert.Equal(t, State{FarewellWritten: true, PeerSentClose: true}, p.State())
	})
}

func TestEarlyBytes(t *testing.T) {
	all := join(encode(0x81, true, []byte("x")), peerClose(1000))
	for n := range len(all) + 1 {
		c := New(&tape{in: all[n:]}, Options{Upgraded: true, Early: all[:n]})
		assert.Equal(t, n == len(all), c.State().PeerSentClose)
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		assert.Equal(t, string(all[n:]), string(got), "Read returns what was not read before")
		assert.True(t, c.State().PeerSentClose)
	}
}

func TestReadDeadlinesAreTheHandlers(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		for _, set := range []func(time.Time) error{p.SetReadDeadline, p.SetDeadline} {
			require.NoError(t, set(time.Now().Add(time.Second)))
			read := p.reading()
			p.blocked(read, "Read")
			time.Sleep(time.Second)
			p.returned(read, 0, errTimeout)
		}
	})
}

func TestLastByte(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		last := time.Now()
		same := func() { t.Helper(); assert.True(t, last.Equal(p.LastByte()), "%v is %v", p.LastByte(), last) }
		same()
		time.Sleep(time.Second)
		same()
		for _, move := range []func(){
			func() { c := p.writing(text("x")); p.sees(text("x")); p.returned(c, 3, nil) },
			func() { c := p.reading(); p.says([]byte{0x81}); p.returned(c, 1, nil) },
			p.said,
		} {
			time.Sleep(time.Second)
			last = time.Now()
			move()
			same()
		}
	})
}

// TestEndings runs all that may end a connection, in every order, and concurrently: it ends, once,
// in one State.
func TestEndings(t *testing.T) {
	endings := map[string]func(*pair){
		"farewell":     func(p *pair) { p.Farewell(bye, 0) },
		"drop message": func(p *pair) { p.DropMessage() },
		"finish":       func(p *pair) { p.Finish() },
		"close":        func(p *pair) { _ = p.Close() },
		"cut":          func(p *pair) { p.Cut() },
		"answer":       func(p *pair) { _, _ = p.peer.Write(peerClose(1012)) },
	}
	type mode struct{ steps, held bool }
	for _, m := range []mode{{true, false}, {false, false}, {true, true}, {false, true}} {
		permute([]string{"farewell", "drop message", "finish", "close", "cut", "answer"}, func(order []string) {
			t.Run(fmt.Sprint(m, order), func(t *testing.T) {
				inBubble(t, func(t *testing.T, p *pair) {
					if m.held {
						p.coalescing()
						_, _ = p.Write(text("hello")[:3])
					}
					go func() { _, _ = io.Copy(io.Discard, p.peer) }()
					go func() { _, _ = io.Copy(io.Discard, p.Conn) }()
					for _, name := range order {
						go endings[name](p)
						if m.steps {
							synctest.Wait()
						}
					}
					synctest.Wait()
					s := p.State()
					assert.True(t, s.HandlerClosed)
					assert.EqualValues(t, 1, p.onCloses.Load())
					_, err := p.peer.Write([]byte{0})
					assert.ErrorIs(t, err, io.ErrClosedPipe)
				})
			})
		})
	}
}

// A laggard is a net.Conn whose first Close, and Reads that are freed by it, take until its gate
// opens.
type laggard struct {
	net.Conn
	gate   chan struct{}
	closes atomic.Int32
}

func (l *laggard) Close() error {
	err := l.Conn.Close()
	if l.closes.Add(1) == 1 {
		<-l.gate
	}
	return err
}

func (l *laggard) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if errors.Is(err, io.ErrClosedPipe) {
		<-l.gate
	}
	return n, err
}

func TestOnCloseComesLast(t *testing.T) {
	lag := func(t *testing.T, f func(p *pair, open func())) {
		inBubble(t, func(t *testing.T, p *pair) {
			l := &laggard{Conn: p.inner, gate: make(chan struct{})}
			p.inner = l
			f(p, sync.OnceFunc(func() { close(l.gate); synctest.Wait() }))
		})
	}
	t.Run("after our goroutine", func(t *testing.T) {
		lag(t, func(p *pair, open func()) {
			p.said()
			require.NoError(t, p.Close())
			synctest.Wait()                  // it reads
			p.inner.(*laggard).closes.Add(1) // and it is the Read that lags
			p.returned(do(p.Cut), 0, nil)
			assert.Zero(t, p.onCloses.Load())
			open()
			assert.EqualValues(t, 1, p.onCloses.Load())
		})
	})
	t.Run("once, when Cut overtakes a slow closing", func(t *testing.T) {
		lag(t, func(p *pair, open func()) {
			p.said()
			read := p.reading()
			p.says(peerClose(1012))
			p.returned(read, 8, nil)
			finished := do(p.Finish)
			p.blocked(finished, "the closing")
			require.NoError(t, p.Close())
			assert.Zero(t, p.onCloses.Load())
			p.returned(do(p.Cut), 0, nil)
			assert.EqualValues(t, 1, p.onCloses.Load())
			open()
			p.returned(finished, 0, nil)
			assert.True(t, p.State().WasCut)
		})
	})
}

// late is a net.Conn whose Read returns what it had when the connection was closed meanwhile.
type late struct {
	tape
	gate chan struct{}
}

func (l *late) Read(p []byte) (int, error) { <-l.gate; return copy(p, peerClose(1000)), nil }

func TestStateIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *Conn
		var final State
		l := &late{gate: make(chan struct{})}
		c = New(l, Options{Upgraded: true, OnClose: func() { final = c.State() }})
		read := start(func() (int, error) { return c.Read(make([]byte, 8)) })
		require.NoError(t, c.Close())
		assert.Equal(t, State{HandlerClosed: true}, final)
		close(l.gate)
		synctest.Wait()
		assert.Equal(t, 8, read.n)
		assert.Equal(t, final, c.State())
	})
}

// TestAbort has a peer that reads nothing, not even TLS's own goodbye, which crypto/tls gives 5
// seconds.
func TestAbort(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	certified.Close()
	for name, abort := range map[string]func(net.Conn){
		"closes by force what Close would be slow to": func(c net.Conn) { _ = c.Close() },
		"missing, is Close":                           nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner, peer := net.Pipe()
				secured := tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
				o := Options{Upgraded: true}
				if abort != nil {
					o.Abort = func() { abort(inner) }
				}
				c := New(tls.Server(inner, certified.TLS), o)
				wrote := start(func() (int, error) { return c.Write(text("x")) })
				_, err := io.ReadFull(secured, make([]byte, 3))
				require.NoError(t, err)
				synctest.Wait()
				require.True(t, wrote.done.Load())

				began := time.Now()
				c.Cut()
				if abort != nil {
					assert.Zero(t, time.Since(began))
				} else {
					assert.Equal(t, 5*time.Second, time.Since(began))
				}
				assert.True(t, c.State().WasCut)
				_, err = peer.Read(make([]byte, 1))
				assert.ErrorIs(t, err, io.EOF)
				assert.NoError(t, c.Close())
			})
		})
	}
}

func permute(s []string, f func([]string)) {
	var from func(int)
	from = func(i int) {
		if i == len(s) {
			f(s)
		}
		for j := i; j < len(s); j++ {
			s[i], s[j] = s[j], s[i]
			from(i + 1)
			s[i], s[j] = s[j], s[i]
		}
	}
	from(0)
}

func TestHandle(t *testing.T) {
	pipe, other := net.Pipe()
	defer other.Close()
	plain := New(pipe, Options{})
	defer plain.Close()
	assert.Same(t, plain, plain.Handle())
	assert.NotImplements(t, (*interface{ CloseWrite() error })(nil), plain.Handle())
	assert.Same(t, pipe, plain.NetConn())

	tcp := New(new(net.TCPConn), Options{}).Handle()
	assert.Implements(t, (*interface{ CloseWrite() error })(nil), tcp)
	assert.Implements(t, (*interface{ CloseRead() error })(nil), tcp)
	secured := New(new(tls.Conn), Options{}).Handle()
	assert.Implements(t, (*interface{ CloseWrite() error })(nil), secured)
	assert.NotImplements(t, (*interface{ CloseRead() error })(nil), secured)
	for _, past := range []any{(*io.ReaderFrom)(nil), (*io.WriterTo)(nil), (*syscall.Conn)(nil), (*http.Hijacker)(nil)} {
		assert.NotImplements(t, past, tcp, "that would go past us")
	}
	c := New(new(net.TCPConn), Options{})
	assert.Zero(t, testing.AllocsPerRun(10, func() { tcp = c.Handle() }))
}
