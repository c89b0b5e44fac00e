package policy_test

import (
	"math"
	"math/big"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestSlotInWindow(t *testing.T) {
	inside := func(min, length uint64, k uint64) bool {
		w := policy.Window{Min: time.Duration(min >> 2), Max: time.Duration(min>>2 + length>>2)}
		s := w.Slot(k)
		return w.Min <= s && s <= w.Max
	}
	require.NoError(t, quick.Check(inside, &quick.Config{MaxCount: 10_000}))

	for k := range uint64(1000) {
		s := policy.Window{}.Slot(k)
		require.True(t, time.Second <= s && s < 5*time.Second, "%v is not in the default window", s)
		require.Equal(t, 7*time.Second, policy.Window{Min: 7 * time.Second, Max: 7 * time.Second}.Slot(k))
		require.Equal(t, 2*time.Second, policy.Window{Min: 2 * time.Second, Max: time.Second}.Slot(k), "never before Min")
	}
	assert.Equal(t, 1*time.Second, policy.Window{}.Slot(0))
	widest := policy.Window{Max: math.MaxInt64}
	assert.Positive(t, widest.Slot(math.MaxUint64))
}

// The slot, computed with arbitrary precision from the definition of the golden ratio.
func TestSlotIsTheGoldenRatioSequence(t *testing.T) {
	root := new(big.Float).SetPrec(200).Sqrt(big.NewFloat(5).SetPrec(200))
	conjugate := root.Sub(root, big.NewFloat(1)).Quo(root, big.NewFloat(2))
	w := policy.Window{Min: 250 * time.Millisecond, Max: 30 * time.Second}
	for k := range uint64(5000) {
		turns := new(big.Float).SetPrec(200).SetUint64(k)
		turns.Mul(turns, conjugate)
		whole, _ := turns.Int(nil)
		turns.Sub(turns, new(big.Float).SetInt(whole))
		offset, _ := turns.Mul(turns, big.NewFloat(float64(w.Max-w.Min))).Int64()
		// The constant is the ratio rounded to 64 bits: the last nanosecond may differ.
		require.InDelta(t, int64(w.Min)+offset, int64(w.Slot(k)), 1, "k = %d", k)
	}
}

func TestSlotsAreFlat(t *testing.T) {
	w := policy.Window{Min: 2 * time.Second, Max: 9 * time.Second}
	flat := func(start uint64) bool {
		slots := make([]time.Duration, 10_000)
		for i := range slots {
			slots[i] = w.Slot(start + uint64(i))
		}
		return peak(slots, w, 100) <= 1.2
	}
	require.NoError(t, quick.Check(flat, &quick.Config{MaxCount: 200}))
}
