package policy_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

// work returns the time that b leaves for the responses.
func work(b policy.Budget) time.Duration {
	b = b.WithDefaults()
	return b.Total - b.Announce - b.Reserve
}

func TestBudgetWithDefaults(t *testing.T) {
	for _, tt := range []struct {
		budget                         policy.Budget
		total, announce, reserve, work time.Duration
	}{
		{policy.Budget{}, 25 * sec, 0, 2 * sec, 23 * sec},
		{policy.Budget{Announce: 5 * sec}, 25 * sec, 5 * sec, 2 * sec, 18 * sec},
		{policy.Budget{Total: 60 * sec}, 60 * sec, 0, 2 * sec, 58 * sec},
		{policy.Budget{Total: 20 * sec}, 20 * sec, 0, 2 * sec, 18 * sec},
		{policy.Budget{Total: 15 * sec}, 15 * sec, 0, 1500 * ms, 13500 * ms},
		{policy.Budget{Total: 10 * sec}, 10 * sec, 0, 1 * sec, 9 * sec},
		{policy.Budget{Total: 5 * sec}, 5 * sec, 0, 1 * sec, 4 * sec},
		{policy.Budget{Total: 2 * sec}, 2 * sec, 0, 1 * sec, 1 * sec},
		{policy.Budget{Total: 1 * sec}, 1 * sec, 0, 500 * ms, 500 * ms},
		{policy.Budget{Total: 30 * sec, Announce: 5 * sec, Reserve: 10 * sec}, 30 * sec, 5 * sec, 10 * sec, 15 * sec},
		{policy.Budget{Total: 30 * sec, Reserve: 1}, 30 * sec, 0, 1, 30*sec - 1},
		// Invalid ones leave no time for the responses, but never less than none.
		{policy.Budget{Total: 5 * sec, Announce: 5 * sec}, 5 * sec, 5 * sec, 0, 0},
		{policy.Budget{Total: 5 * sec, Announce: 4500 * ms}, 5 * sec, 4500 * ms, 500 * ms, 0},
		{policy.Budget{Total: 5 * sec, Announce: math.MaxInt64, Reserve: math.MaxInt64}, 5 * sec, 5 * sec, 0, 0},
		{policy.Budget{Total: 5 * sec, Reserve: math.MaxInt64}, 5 * sec, 0, 5 * sec, 0},
		{policy.Budget{Total: -1}, 0, 0, 0, 0},
		{policy.Budget{Total: math.MinInt64, Announce: math.MaxInt64, Reserve: math.MaxInt64}, 0, 0, 0, 0},
		{policy.Budget{Total: sec, Announce: math.MinInt64, Reserve: math.MinInt64}, sec, 0, 0, sec},
	} {
		got := tt.budget.WithDefaults()
		assert.Equal(t, policy.Budget{Total: tt.total, Announce: tt.announce, Reserve: tt.reserve}, got, "%+v", tt.budget)
		assert.Equal(t, tt.work, got.Total-got.Announce-got.Reserve, "work of %+v", tt.budget)
	}
}

func TestBudgetValidate(t *testing.T) {
	for _, tt := range []struct {
		budget policy.Budget
		want   string
	}{
		{policy.Budget{}, ""},
		{policy.Budget{Total: 1}, ""},
		{policy.Budget{Total: 5 * sec, Announce: 4*sec - 1}, ""},
		{policy.Budget{Total: 5 * sec, Announce: 4 * sec}, "policy: Budget.Announce 4s and Reserve 1s leave nothing of Total 5s for the responses; raise Total over 5s"},
		{policy.Budget{Announce: 30 * sec}, "policy: Budget.Announce 30s and Reserve 2s leave nothing of Total 25s for the responses; raise Total over 32s"},
		{policy.Budget{Total: 3 * sec, Reserve: 3 * sec}, "policy: Budget.Announce 0s and Reserve 3s leave nothing of Total 3s for the responses; raise Total over 3s"},
		{policy.Budget{Total: 25}, "policy: Budget.Total is 25ns; a bare number counts nanoseconds, write 25*time.Second"},
		{policy.Budget{Total: -1, Announce: -2, Reserve: -3}, "policy: Budget.Total is -1ns; use zero or more\n" +
			"policy: Budget.Announce is -2ns; use zero or more\n" +
			"policy: Budget.Reserve is -3ns; use zero or more"},
	} {
		err := tt.budget.Validate()
		if tt.want == "" {
			require.NoError(t, err, "%+v", tt.budget)
			continue
		}
		require.EqualError(t, err, tt.want)
	}
}

func TestBudgetOver(t *testing.T) {
	base := policy.Budget{Total: 1, Announce: 2, Reserve: 3}
	assert.Equal(t, base, policy.Budget{}.Over(base))
	assert.Equal(t, base, base.Over(policy.Budget{Total: 7, Announce: 8, Reserve: 9}))
	assert.Equal(t, policy.Budget{Total: 1, Announce: 9, Reserve: 3}, policy.Budget{Announce: 9}.Over(base))
}
