package ws

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzFrames follows any bytes, cut anywhere, and compares where a farewell may stand among them with a reading of the
// whole. The other side, which goes on meanwhile, is followed by itself.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{5, 5, 3, 200, 1, 1, 6, 2, 5, 9}, []byte{1, 1, 3, 50, 2}, false)
	f.Add([]byte("\x81\x02hi\x01\x01x\x80\x00\x88\x00\xff\xff"), []byte{3, 2, 1}, true)
	f.Add([]byte("\x81\x02hi\x81\x82keyshi\x81\x02hi"), []byte{}, true)
	seeds(200, func(script, cuts []byte, r *rand.Rand) { f.Add(script, cuts, r.IntN(8) == 0) })
	f.Fuzz(func(t *testing.T, script, cuts []byte, raw bool) {
		stream, source, cut := script, tap(script), tap(cuts)
		if !raw {
			stream = source.frames(false)
		}
		where := places(stream, 0)
		may := func(at int, message bool) bool {
			return where[at].message || where[at].frame && !message
		}
		frames, offset := NewFrames(), 0
		for _, p := range cut.slices(stream) {
			for _, message := range []bool{false, true} {
				require.Equal(t, may(offset, message), frames.At(message), "at %d, message %v", offset, message)
				want := 0
				for want <= len(p) && !may(offset+want, message) {
					want++
				}
				if want > len(p) {
					want = -1
				}
				require.Equal(t, want, frames.Boundary(p, message), "from %d, message %v", offset, message)
			}
			frames.Sent(p)
			frames.Received(encode(0x89, true, p[:min(len(p), maxControl)]))
			offset += len(p)
		}
		assert.False(t, frames.Answered())
		for _, b := range peerClose(1001) {
			assert.False(t, frames.Answered())
			frames.Received([]byte{b})
		}
		assert.True(t, frames.Answered())
	})
}

func TestFarewellAppend(t *testing.T) {
	assert.Equal(t, "x"+string(byeText)+string(byeClose), string(bye.Append([]byte("x"))))
	assert.Equal(t, "\x88\x00", string(Farewell{}.Append(nil)))
}
