package wsconn

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/format"
)

// A script draws small numbers from fuzz bytes, and zeros when they are used up.
type script []byte

func (t *script) next() int {
	if len(*t) == 0 {
		return 0
	}
	b := (*t)[0]
	*t = (*t)[1:]
	return int(b)
}

// frames makes a valid sequence of frames: fragments in order, control frames among them, nothing
// after a Close.
func (t *script) frames(masked bool) (b []byte) {
	within := false
	for len(*t) > 0 {
		kind, size := t.next(), t.next()
		if kind&0x80 != 0 {
			size *= 300 // 16-bit and 64-bit lengths
		}
		switch kind % 8 {
		case 0:
			b = append(b, encode(0x88, masked, closeFrame(1000, "own")[2:])...)
			return b
		case 1:
			b = append(b, encode(0x89, masked, make([]byte, size%126))...)
		case 2:
			b = append(b, encode(0x8A, masked, make([]byte, size%126))...)
		default:
			first := byte(0x02)
			if within {
				first = 0
			}
			within = kind%8 < 5
			if !within {
				first |= 0x80
			}
			payload := make([]byte, size)
			for i := range payload {
				payload[i] = byte(i * kind)
			}
			b = append(b, encode(first, masked, payload)...)
		}
	}
	return b
}

// slices cuts b in pieces, some of them empty.
func (t *script) slices(b []byte) (all [][]byte) {
	for len(b) > 0 {
		n := len(b)
		if len(*t) > 0 {
			n = min(n, t.next())
			if n > 200 {
				n = min(len(b), n*200)
			}
		}
		all, b = append(all, b[:n]), b[n:]
	}
	return all
}

// A place is where a farewell may stand in a stream.
type place struct{ frame, message bool }

// places says where in a stream of frames, which begin at from, a farewell may stand. That is
// package format's to know, and tested there.
func places(stream []byte, from int) map[int]place {
	all := map[int]place{}
	for _, message := range []bool{false, true} {
		frames := format.Frames{Upgraded: true}
		for at := from; ; {
			n := frames.Boundary(stream[at:], message)
			if n < 0 {
				break
			}
			_, _ = frames.Write(stream[at : at+n])
			at += n
			all[at] = place{frame: all[at].frame || !message, message: all[at].message || message}
			if at == len(stream) {
				break
			}
			_, _ = frames.Write(stream[at : at+1])
			at++
		}
	}
	return all
}

// seeds gives f so many scripts, the same each time, so that the targets mean something without
// fuzzing too.
func seeds(n int, add func(bytes, cuts []byte, r *rand.Rand)) {
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32()) >> r.IntN(6) // small ones more often
		}
		return b
	}
	for range n {
		add(draw(r.IntN(24)), draw(r.IntN(24)), r)
	}
}

// A model says where a farewell must come to stand in a stream, from a reading of the whole.
type model struct {
	where          map[int]place
	message        bool // the farewell has one
	asked, dropped bool
	at             int  // where it stands; -1: not said
	text           bool // with its message
}

// look has it said at the first place in from..to, as far as is known.
func (m *model) look(from, to int) {
	for x := from; x <= to && m.at < 0 && m.asked; x++ {
		if p, text := m.where[x], m.message && !m.dropped; p.message || p.frame && !text {
			m.at, m.text = x, text
		}
	}
}

// FuzzWrite writes any bytes, cut anywhere, asks for the farewell and drops its message at any
// moment, between two writes or while one is under way, with beginnings of frames sent at once,
// held, or held for too long, and compares what comes out with where a reader of the whole stream
// would have put it.
func FuzzWrite(f *testing.F) {
	f.Add([]byte{5, 5, 3, 200, 1, 1, 6, 2, 5, 9}, []byte{1, 1, 3, 50, 2}, uint8(4), uint8(9), true, false, uint8(0))
	f.Add([]byte{3, 0, 1, 0, 3, 0, 5, 0}, []byte{2, 2, 0, 2}, uint8(2), uint8(5), true, false, uint8(0))
	f.Add([]byte{3, 10, 5, 10, 0, 0}, []byte{200, 200}, uint8(1), uint8(0), true, false, uint8(0))
	f.Add([]byte{0xFD, 0xFF, 0xFD, 20}, []byte{250, 255, 1}, uint8(3), uint8(20), false, false, uint8(0))
	f.Add([]byte("\x81\x02hi\x01\x01x\x80\x00\x88\x00\xff\xff"), []byte{3, 2, 1}, uint8(2), uint8(3), true, true, uint8(0))
	f.Add([]byte("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00hello"), []byte{5}, uint8(0), uint8(3), true, true, uint8(0))
	f.Add([]byte("\x81\x02hi\x81\x82keyshi\x81\x02hi"), []byte{}, uint8(2), uint8(9), false, true, uint8(0))
	f.Add([]byte{5, 5, 3, 200, 1, 1, 6, 2, 5, 9}, []byte{200, 1, 3, 50, 2}, uint8(4), uint8(9), true, false, uint8(1))
	f.Add([]byte{5, 5, 0xFD, 200, 1, 1}, []byte{200, 1, 6, 2}, uint8(3), uint8(9), true, false, uint8(4))
	seeds(400, func(bytes, cuts []byte, r *rand.Rand) {
		f.Add(bytes, cuts, uint8(r.IntN(30)), uint8(r.IntN(60)), r.IntN(4) > 0, r.IntN(8) == 0, uint8(r.IntN(40)))
	})
	f.Fuzz(func(t *testing.T, bytes, cuts []byte, farewellAt, dropAt uint8, message, raw bool, late uint8) {
		const head = "HTTP/1.1 101 Switching Protocols\r\n\r\n"
		stream, source, cut := []byte(head), script(bytes), script(cuts)
		if raw {
			stream = append(stream, bytes...)
		} else {
			stream = append(stream, source.frames(false)...)
		}
		pieces := cut.slices(stream)
		farewell := bye
		if !message {
			farewell.Message = ""
		}

		inner := &tape{}
		c := New(inner, Options{})
		c.coalesces = late > 0
		c.timerRunning = true // it isn't: the timer would come at moments of its own
		flush := func() {
			c.writing.Lock()
			c.sendKept()
			c.writing.Unlock()
		}
		m := &model{where: places(stream, len(head)), message: message, at: -1}
		// Moments are numbered: 2k is before the k-th write, 2k+1 while it is under way. In one
		// moment the farewell comes first.
		post := func(moment int) {
			if moment == int(farewellAt) {
				c.Farewell(farewell, 0)
			}
			if moment == int(dropAt) {
				c.DropMessage()
			}
		}
		// expect does to the model what post does to the Conn, which looks by itself only while
		// nobody is writing.
		expect := func(moment, offset int) {
			for _, one := range []struct {
				at   uint8
				flag *bool
			}{{farewellAt, &m.asked}, {dropAt, &m.dropped}} {
				if moment == int(one.at) {
					*one.flag = one.flag == &m.asked || m.asked // a farewell has its message anew
					if moment%2 == 0 {
						m.look(offset, offset)
					}
				}
			}
		}
		offset := 0
		for k, p := range pieces {
			expect(2*k, offset)
			if k == int(late)-2 {
				flush()
			}
			post(2 * k)
			m.look(offset, offset+len(p))
			offset += len(p)
			if m.at < 0 {
				expect(2*k+1, offset)
				m.look(offset, offset)
			}
			inner.during = func() { inner.during = nil; post(2*k + 1) }
			n, err := c.Write(p)
			if inner.during != nil {
				inner.during() // nothing was written: it was held or swallowed
			}
			require.NoError(t, err)
			require.Equal(t, len(p), n)
		}
		expect(2*len(pieces), offset)
		post(2 * len(pieces))
		flush()

		want := stream
		if m.at >= 0 {
			want = slices.Clone(stream[:m.at])
			if m.text {
				want = append(want, byeText...)
			}
			want = append(want, byeClose...)
		}
		require.Equal(t, string(want), string(inner.out), "farewell at %d, dropped at %d, late %d, pieces of %v", farewellAt, dropAt, late, sizes(pieces))
		s := c.State()
		assert.Equal(t, m.at >= 0, s.FarewellWritten)
		if s.FarewellWritten {
			frames := format.Frames{Upgraded: true}
			_, _ = frames.Write(inner.out[len(head):])
			assert.True(t, frames.Closed, "a client reads whole frames, and the Close at their end")
		}
	})
}

func sizes(pieces [][]byte) (all []int) {
	for _, p := range pieces {
		all = append(all, len(p))
	}
	return all
}

// FuzzRead reads any bytes, cut anywhere, and compares what is returned, and whether the peer's
// Close was seen, with a reading of the whole.
func FuzzRead(f *testing.F) {
	f.Add([]byte{5, 5, 3, 200, 1, 1, 6, 2, 0}, []byte{1, 1, 3, 50, 2}, false)
	f.Add([]byte{0xFD, 0xFF, 0, 0}, []byte{250, 255, 1}, false)
	f.Add(append(peerClose(1000), 0xFF), []byte{1, 1, 1}, true)
	f.Add(append(encode(0x81, true, []byte("hi")), peerClose(1000)...), []byte{3}, true)
	f.Add([]byte("\x88\x00"), []byte{}, true)
	seeds(200, func(bytes, cuts []byte, r *rand.Rand) { f.Add(bytes, cuts, r.IntN(8) == 0) })
	f.Fuzz(func(t *testing.T, bytes, cuts []byte, raw bool) {
		stream, source, cut := bytes, script(bytes), script(cuts)
		if !raw {
			stream = source.frames(true)
		}
		frames := format.Frames{FromClient: true, Upgraded: true} // which package format tests
		_, _ = frames.Write(stream)
		inner := &tape{}
		c := New(inner, Options{Upgraded: true})
		var got []byte
		for _, p := range cut.slices(stream) {
			inner.in = p
			for len(inner.in) > 0 {
				buf := make([]byte, 1+len(p)/2)
				n, err := c.Read(buf)
				require.NoError(t, err)
				got = append(got, buf[:n]...)
			}
		}
		_, err := c.Read(make([]byte, 1))
		require.True(t, errors.Is(err, io.EOF))
		assert.Equal(t, string(stream), string(got), "what is read is what came")
		assert.Equal(t, frames.Closed, c.State().PeerSentClose)
	})
}
