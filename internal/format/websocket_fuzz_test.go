package format

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
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
				first |= finBit
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

// places reads a whole stream and says where a farewell may stand in it; where it is nil, or has no
// entry, none may.
func places(b []byte, at int) map[int]place {
	all := map[int]place{at: {frame: true, message: true}}
	within := false
	for at < len(b) {
		w, err := readWire(b, at)
		if err != nil || w.masked || w.op == opClose {
			break
		}
		if w.op < opClose {
			within = !w.fin
		}
		at = w.end
		all[at] = place{frame: true, message: !within}
	}
	return all
}

// seeds gives f so many scripts, the same each time, so that the targets mean something without
// fuzzing too.
func seeds(n int, add func(script, cuts []byte, r *rand.Rand)) {
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

// FuzzServerFrames follows any bytes, cut anywhere, and compares where a farewell may stand among
// them with a reading of the whole.
func FuzzServerFrames(f *testing.F) {
	f.Add([]byte{5, 5, 3, 200, 1, 1, 6, 2, 5, 9}, []byte{1, 1, 3, 50, 2}, false)
	f.Add([]byte("\x81\x02hi\x01\x01x\x80\x00\x88\x00\xff\xff"), []byte{3, 2, 1}, true)
	f.Add([]byte("\x81\x02hi\x81\x82keyshi\x81\x02hi"), []byte{}, true)
	seeds(200, func(bytes, cuts []byte, r *rand.Rand) { f.Add(bytes, cuts, r.IntN(8) == 0) })
	f.Fuzz(func(t *testing.T, bytes, cuts []byte, raw bool) {
		stream, source, cut := bytes, script(bytes), script(cuts)
		if !raw {
			stream = source.frames(false)
		}
		where := places(stream, 0)
		may := func(at int, message bool) bool {
			return where[at].message || where[at].frame && !message
		}
		frames, offset := Frames{Upgraded: true}, 0
		for _, p := range cut.slices(stream) {
			for _, message := range []bool{false, true} {
				require.Equal(t, may(offset, message), frames.AtBoundary(message), "at %d, message %v", offset, message)
				want := 0
				for want <= len(p) && !may(offset+want, message) {
					want++
				}
				if want > len(p) {
					want = -1
				}
				require.Equal(t, want, frames.Boundary(p, message), "from %d, message %v", offset, message)
			}
			_, _ = frames.Write(p)
			offset += len(p)
		}
	})
}

// FuzzClientFrames follows any bytes, cut anywhere, and compares where the Close was seen with a
// reading of the whole.
func FuzzClientFrames(f *testing.F) {
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
		closed := len(stream) + 1 // how many bytes it takes
		for at := 0; at < len(stream); {
			w, err := readWire(stream, at)
			if err != nil || !w.masked || w.op > 7 && w.rsv != 0 {
				break
			}
			if at = w.end; w.op == opClose {
				closed = at
				break
			}
		}
		frames, offset := Frames{FromClient: true, Upgraded: true}, 0
		for _, p := range cut.slices(stream) {
			_, _ = frames.Write(p)
			offset += len(p)
			require.Equal(t, offset >= closed, frames.Closed, "after %d", offset)
		}
	})
}
