package policy_test

import (
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestSwap(t *testing.T) {
	req := httptest.NewRequest("GET", "/a", nil)
	var s policy.Swap
	assert.Nil(t, s.Load())
	assert.Zero(t, s.Rule(req))
	require.NoError(t, policy.Check(&s, policy.Budget{}))
	assert.Equal(t, policy.Explain(nil), policy.Explain(&s))

	var m policy.Mux
	m.Handle("/a", policy.Rule{Spread: 20 * sec})
	require.NoError(t, s.Store(&m, policy.Budget{}))
	assert.Same(t, &m, s.Load())
	assert.Equal(t, policy.Rule{Spread: 20 * sec}, s.Rule(req))
	assert.Equal(t, policy.Explain(&m), policy.Explain(&s))

	require.ErrorContains(t, s.Store(policy.Rule{Spread: 30 * sec}, policy.Budget{}), "needs 30s")
	require.ErrorContains(t, s.Store(policy.Rule{}, policy.Budget{Total: -1}), "Budget.Total is -1ns")
	assert.Same(t, &m, s.Load(), "what is refused changes nothing")

	// Check reports what is wrong with the current policy, and reports it once.
	require.EqualError(t, policy.Check(&s, policy.Budget{Total: 10 * sec}), policy.Check(&m, policy.Budget{Total: 10 * sec}).Error())
	err := policy.Check(&s, policy.Budget{Total: -1, Reserve: 1})
	require.ErrorContains(t, err, "Budget.Total is -1ns")
	assert.Regexp(t, `^policy: Budget.Total is -1ns; use zero or more\npolicy: route "/a" needs 20s [^\n]*$`, err.Error())

	require.NoError(t, s.Store(nil, policy.Budget{}))
	assert.Nil(t, s.Load())
	assert.Zero(t, s.Rule(req))
}

func TestSwapConcurrentUse(t *testing.T) {
	var s policy.Swap
	tables := make([]*policy.Mux, 2)
	for i := range tables {
		tables[i] = new(policy.Mux)
		tables[i].Handle("/a", numbered(i+1))
	}
	require.NoError(t, s.Store(tables[0], policy.Budget{}))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			req := httptest.NewRequest("GET", "/a", nil)
			for range 200 {
				if r := s.Rule(req); r != numbered(1) && r != numbered(2) {
					t.Errorf("%+v is neither's", r)
				}
			}
		})
	}
	for i := range 200 {
		if err := s.Store(tables[i%2], policy.Budget{}); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}
