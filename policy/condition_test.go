package policy_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func isJSON(r *http.Request) bool { return r.Header.Get("Accept") == "application/json" }

func isTwo(r *http.Request) bool { return r.Header.Get("X") == "2" }

func TestMuxHandleIf(t *testing.T) {
	m := policy.Mux{Default: policy.Rule{Mercy: 7 * sec}}
	m.Handle("GET /live", numbered(1))
	m.HandleIf("/live", isJSON, numbered(2))
	m.HandleIf("/files/", isTwo, numbered(3))
	m.HandleIf("/", isTwo, numbered(4))
	m.HandleIf("GET /live/{id}", isJSON, numbered(5))
	m.HandleIf("GET /live/{id}", isTwo, numbered(6)) // the pattern "/" has them already
	for _, tt := range []struct {
		method, target, accept, x string
		want                      int
	}{
		{"GET", "/live", "", "", 1},
		{"GET", "/live", "application/json", "", 2},
		{"POST", "/live", "application/json", "2", 2}, // the first that was given
		{"GET", "/live", "text/event-stream", "2", 4},
		{"GET", "/files/a", "", "2", 3},
		{"GET", "/files/a", "", "1", 0},
		{"GET", "/files", "", "2", 4}, // a redirect under the first pattern
		{"GET", "/live/7", "application/json", "", 5},
		{"GET", "/live/7", "application/json", "2", 4},
		{"POST", "/live/7", "application/json", "", 0},
	} {
		req := httptest.NewRequest(tt.method, tt.target, nil)
		req.Header.Set("Accept", tt.accept)
		req.Header.Set("X", tt.x)
		assert.Equal(t, numbered(tt.want).Over(m.Default), m.Rule(req), "%+v", tt)
		assert.Empty(t, req.Pattern)
	}

	var patterns []string
	for _, r := range parseTable(t, policy.Explain(&m)) {
		patterns = append(patterns, r.pattern)
	}
	assert.Equal(t, []string{
		"/live if policy_test.isJSON", "/files/ if policy_test.isTwo", "/ if policy_test.isTwo", "GET /live/{id} if policy_test.isJSON",
		"GET /live/{id} if policy_test.isTwo", "GET /live", "(all others)",
	}, patterns)
	_, err := json.Marshal(&m)
	require.ErrorContains(t, err, `policy: route "/live if policy_test.isJSON" has a condition, which can't be written as JSON`)
}

// Rules with a condition are checked at start-up as all others.
func TestMuxHandleIfIsChecked(t *testing.T) {
	var m policy.Mux
	m.HandleIf("/live", isJSON, policy.Rule{Spread: 15 * sec, Priority: 1})
	m.Handle("/live", policy.Rule{Spread: 15 * sec})
	require.EqualError(t, policy.Check(&m, policy.Budget{}),
		`policy: route "/live" needs 30s (first those of higher priority 15s + spread 15s) but the budget leaves 23s of 25s (announce 0s, reserve 2s): shorten the rule by 7s or raise Budget.Total to 32s`)
	require.ErrorContains(t, policy.Check(&m, policy.Budget{Total: 16 * sec}),
		`policy: route "/live if policy_test.isJSON" needs 15s (spread 15s) but the budget leaves 14.4s of 16s (announce 0s, reserve 1.6s): shorten the rule by 600ms or raise Budget.Total to 16.667s`)

	m = policy.Mux{Default: policy.Rule{Reconnect: policy.Window{Max: 100 * sec}}}
	m.HandleIf("/a", isTwo, policy.Rule{Farewell: policy.Farewell{Reason: reason118 + "{retry}"}})
	require.ErrorContains(t, policy.Check(&m, policy.Budget{}), `policy: route "/a if policy_test.isTwo": close reason`)
}

func TestMuxHandleIfPanics(t *testing.T) {
	var m policy.Mux
	m.HandleIf("/a", isTwo, policy.Rule{})
	m.HandleIf("/a", isTwo, policy.Rule{}) // never reached, but no conflict
	require.PanicsWithError(t, `policy: route "/b" has a nil condition; use Handle`, func() { m.HandleIf("/b", nil, policy.Rule{}) })
	require.PanicsWithError(t, `policy: route "/b": Mercy is -1ns; use zero or more`, func() { m.HandleIf("/b", isTwo, policy.Rule{Mercy: -1}) })
	assert.Contains(t, panicOf(func() { m.HandleIf("/{b", isTwo, policy.Rule{}) }).(error).Error(), `policy: route "/{b": parsing`)
	m.Rule(httptest.NewRequest("GET", "/", nil))
	require.PanicsWithError(t, `policy: route "/b" comes after the first request; give it before, or store a new Mux in a Swap`,
		func() { m.HandleIf("/b", isTwo, policy.Rule{}) })
}

func TestFunc(t *testing.T) {
	var p policy.Policy = policy.Func(func(r *http.Request) policy.Rule {
		if isTwo(r) {
			return numbered(2)
		}
		return numbered(1)
	})
	req := httptest.NewRequest("GET", "/", nil)
	assert.Equal(t, numbered(1), p.Rule(req))
	req.Header.Set("X", "2")
	assert.Equal(t, numbered(2), p.Rule(req))
	assert.NoError(t, policy.Check(p, policy.Budget{}))
	assert.Equal(t, "ROUTE  FROM         RULE\n(all)  policy.Func  rule decided for each request\n", policy.Explain(p).String())
	var swap policy.Swap
	require.NoError(t, swap.Store(p, policy.Budget{}))
	assert.Equal(t, numbered(2), swap.Rule(req))
}
