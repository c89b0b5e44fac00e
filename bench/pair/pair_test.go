package pair_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/bench/pair"
)

// On a fake clock nothing disturbs the comparison.
func TestCompare(t *testing.T) {
	open := 0
	takes := func(each time.Duration) pair.Variant {
		return func(tb testing.TB) func(int) {
			open++
			tb.Cleanup(func() { open-- })
			return func(n int) { time.Sleep(time.Duration(n) * each) }
		}
	}
	synctest.Test(t, func(t *testing.T) {
		result := testing.Benchmark(func(b *testing.B) {
			pair.Compare(b, pair.Turn, 1000, takes(10*time.Microsecond), takes(25*time.Microsecond))
		})
		assert.Equal(t, 0.4, result.Extra["ratio"])
		assert.Equal(t, 10_000.0, result.Extra["bare-ns/op"])
		assert.Equal(t, 25_000.0, result.Extra["ns/op"])
		assert.Equal(t, 40.0, result.Extra["MB/s"])
		assert.Zero(t, open, "what a round has set up ends with it")
	})
}

func TestWithinCleansUpInReverse(t *testing.T) {
	var ended []int
	assert.Panics(t, func() {
		pair.Within(t, func(tb testing.TB) {
			for i := range 3 {
				tb.Cleanup(func() { ended = append(ended, i) })
			}
			panic("half-way")
		})
	})
	assert.Equal(t, []int{2, 1, 0}, ended)
}
