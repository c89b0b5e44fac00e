package policy_test

import (
	"math/rand/v2"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestFit(t *testing.T) {
	long := policy.Rule{Grace: 10 * sec, Spread: 20 * sec, Timeout: 3 * sec, Mercy: 1 * sec}
	with := func(r policy.Rule, k policy.Kind) policy.Rule { r.Kind = k; return r }
	for name, tt := range map[string]struct {
		budget policy.Budget
		route  string
		rule   policy.Rule
		want   string
	}{
		"zero": {policy.Budget{}, "/", policy.Rule{}, ""},
		"too long": {policy.Budget{}, "GET /events", long,
			`policy: route "GET /events" needs 34s (grace 10s + spread 20s + timeout 3s + mercy 1s) but the budget leaves ` +
				`23s of 25s (announce 0s, reserve 2s): shorten the rule by 11s or raise Budget.Total to 36s`},
		"for every route": {policy.Budget{Total: 10 * sec, Announce: 5 * sec}, "", policy.Rule{Spread: 5 * sec},
			"policy: the rule for every route needs 5s (spread 5s) but the budget leaves " +
				"4s of 10s (announce 5s, reserve 1s): shorten the rule by 1s or raise Budget.Total to 11.112s"},
		"reserve specified": {policy.Budget{Total: 10 * sec, Reserve: 500 * ms}, "/", policy.Rule{Grace: 9 * sec, Mercy: 1 * sec},
			`policy: route "/" needs 10s (grace 9s + mercy 1s) but the budget leaves ` +
				`9.5s of 10s (announce 0s, reserve 500ms): shorten the rule by 500ms or raise Budget.Total to 10.5s`},
		"to the nanosecond": {policy.Budget{}, "/", policy.Rule{Spread: 23 * sec}, ""},
		"a nanosecond over": {policy.Budget{}, "/", policy.Rule{Spread: 23*sec + 1}, "shorten the rule by 1ns or raise Budget.Total to 25.001s"},
		"at once": {policy.Budget{Total: sec / 2}, "/", policy.Rule{Spread: sec, Timeout: policy.AtOnce},
			`policy: route "/" needs 1s (spread 1s + timeout at once) but the budget leaves ` +
				`250ms of 500ms (announce 0s, reserve 250ms): shorten the rule by 751ms or raise Budget.Total to 2.001s`},
		"defaults yield":              {policy.Budget{}, "/", policy.Rule{Grace: 3 * sec, Spread: 20 * sec}, ""},
		"finite has no spread":        {policy.Budget{}, "/", with(long, policy.Finite), ""},
		"auto may become a stream":    {policy.Budget{}, "/", with(long, policy.Auto), "needs 34s"},
		"stream":                      {policy.Budget{}, "/", with(long, policy.Infinite), "needs 34s"},
		"finite grace":                {policy.Budget{}, "/", policy.Rule{Kind: policy.Finite, Grace: 30 * sec}, "needs 30s (grace 30s)"},
		"invalid times count as zero": {policy.Budget{}, "/", policy.Rule{Grace: -60 * sec, Spread: 24 * sec}, "needs 24s (spread 24s)"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.budget.Fit(tt.route, tt.rule)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

// The rule fits after either change that the error proposes, and not with a Total that is two
// milliseconds less.
func TestFitAdvice(t *testing.T) {
	advice := regexp.MustCompile(`shorten the rule by (\S+) or raise Budget.Total to (\S+)$`)
	random := rand.New(rand.NewPCG(1, 2))
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	given := 0
	for range 20_000 {
		scale := 1 + upTo(time.Duration(1)<<random.IntN(38))
		r := policy.Rule{Kind: policy.Kind(random.IntN(3)), Grace: upTo(scale), Spread: upTo(scale), Timeout: upTo(scale)}
		b := policy.Budget{Total: 1 + upTo(scale), Announce: upTo(scale) / 4}
		if random.IntN(2) == 0 {
			b.Reserve = upTo(scale)
		}
		err := b.Fit("/", r)
		if err == nil {
			continue
		}
		given++
		m := advice.FindStringSubmatch(err.Error())
		require.NotNil(t, m, err)
		less, total := duration(t, m[1]), duration(t, m[2])

		raised := b
		raised.Total = total
		require.NoError(t, raised.Fit("/", r), "%+v after %v", r, err)
		if raised.Total -= 2 * ms; raised.Total > 0 {
			require.Error(t, raised.Fit("/", r), "%+v is to be raised by more than it needs: %v", r, err)
		}

		need := r.Grace
		if r.Kind != policy.Finite {
			need += r.Spread + r.Timeout
		}
		require.Equal(t, work(b), need-less, "%v", err)
	}
	require.Greater(t, given, 1000)
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	require.NoError(t, err)
	return d
}

type own struct{ err error }

func (own) Rule(*http.Request) policy.Rule { return policy.Rule{} }

func (o own) Check(policy.Budget) error { return o.err }

type opaque struct{}

func (opaque) Rule(*http.Request) policy.Rule { return policy.Rule{Grace: time.Hour} }

func TestCheck(t *testing.T) {
	var mux policy.Mux
	mux.Handle("/ok", policy.Rule{Spread: 10 * sec})
	mux.Handle("/a", policy.Rule{Spread: 30 * sec})
	mux.Handle("/b", policy.Rule{Grace: 40 * sec})
	tooLong := policy.Rule{Grace: time.Minute, Mercy: -1}
	for name, tt := range map[string]struct {
		policy policy.Policy
		budget policy.Budget
		want   []string
	}{
		"nil":                {nil, policy.Budget{}, nil},
		"nil, no budget":     {nil, policy.Budget{Total: -1}, []string{"Budget.Total is -1ns"}},
		"rule":               {policy.Rule{Spread: 20 * sec}, policy.Budget{}, nil},
		"bad rule":           {tooLong, policy.Budget{}, []string{"Mercy is -1ns", "the rule for every route needs 1m0s"}},
		"bad rule's address": {&tooLong, policy.Budget{}, []string{"Mercy is -1ns", "the rule for every route needs 1m0s"}},
		"mux":                {&mux, policy.Budget{}, []string{`route "/a" needs 30s`, `route "/b" needs 40s`}},
		"mux that fits":      {&mux, policy.Budget{Total: time.Minute}, nil},
		"nil mux":            {(*policy.Mux)(nil), policy.Budget{}, nil},
		"checks itself":      {own{assert.AnError}, policy.Budget{}, []string{assert.AnError.Error()}},
		"opaque":             {opaque{}, policy.Budget{}, nil},
		"both":               {policy.Rule{Kind: 9}, policy.Budget{Announce: time.Hour}, []string{"leave nothing of Total 25s", "Kind 9"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := policy.Check(tt.policy, tt.budget)
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
			assert.Len(t, regexp.MustCompile(`(?m)^`).FindAllString(err.Error(), -1), len(tt.want))
		})
	}
}

func TestCheckPriorities(t *testing.T) {
	table := func(rules ...policy.Rule) *policy.Mux {
		var m policy.Mux
		for i, r := range rules {
			m.Handle("/"+string(rune('a'+i)), r)
		}
		return &m
	}
	for name, tt := range map[string]struct {
		mux  *policy.Mux
		want string
	}{
		"side by side": {table(policy.Rule{Spread: 15 * sec}, policy.Rule{Spread: 15 * sec}), ""},
		"one after the other": {table(policy.Rule{Spread: 15 * sec}, policy.Rule{Spread: 15 * sec, Priority: 1}),
			`policy: route "/a" needs 30s (first those of higher priority 15s + spread 15s) but the budget leaves 23s of 25s (announce 0s, reserve 2s): shorten the rule by 7s or raise Budget.Total to 32s`},
		"three priorities": {table(policy.Rule{Spread: 9 * sec, Priority: -1, Timeout: sec}, policy.Rule{Spread: 5 * sec, Priority: 1}, policy.Rule{Grace: 7 * sec, Spread: 7 * sec}),
			`policy: route "/a" needs 24s (first those of higher priority 14s + spread 9s + timeout 1s)`},
		"a grace that they fit into": {table(policy.Rule{Grace: 10 * sec, Spread: 13 * sec}, policy.Rule{Spread: 10 * sec, Priority: 1}), ""},
		"finite ones":                {table(policy.Rule{Spread: 20 * sec}, policy.Rule{Kind: policy.Finite, Grace: 20 * sec, Priority: 1}), ""},
		"left alone":                 {table(policy.Rule{Spread: 20 * sec}, policy.Rule{Grace: policy.ToTheEnd, Spread: 5 * sec, Priority: 1}), ""},
		"waits though left alone": {table(policy.Rule{Spread: 20 * sec, Priority: 1}, policy.Rule{Grace: policy.ToTheEnd, Timeout: 4 * sec}),
			`policy: route "/b" needs 24s (first those of higher priority 20s + timeout 4s)`},
	} {
		t.Run(name, func(t *testing.T) {
			err := policy.Check(tt.mux, policy.Budget{})
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
	m := table(policy.Rule{Spread: 20 * sec, Priority: 1})
	m.Default = policy.Rule{Spread: 10 * sec}
	require.ErrorContains(t, policy.Check(m, policy.Budget{}), "the rule for every route needs 30s (first those of higher priority 20s + spread 10s)")
}
