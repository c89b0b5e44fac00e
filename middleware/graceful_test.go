package middleware_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// What is wrong with a Drainer or a rule is reported where Graceful is called, not in the drain.
func TestGracefulPanicsOnInvalidSettings(t *testing.T) {
	for _, c := range []struct {
		name string
		d    *middleware.Drainer
		rule policy.Rule
		want string
	}{
		{"a nil Drainer", nil, policy.Rule{}, "nil *Drainer"},
		{"a negative duration", &middleware.Drainer{}, policy.Rule{Timeout: -time.Second}, "-1s"},
		{"a rule over the budget", &middleware.Drainer{}, policy.Rule{Grace: time.Minute}, `policy: the rule given to Graceful needs 1m0s (grace 1m0s) but the budget leaves 23s of 25s`},
		{"a policy over the budget", &middleware.Drainer{Policy: policy.Rule{Spread: time.Minute}}, policy.Rule{}, `spread 1m0s`},
		{"a rule that is over the budget with the policy's", &middleware.Drainer{Policy: policy.Rule{Grace: 15 * time.Second}}, policy.Rule{Spread: 15 * time.Second}, `grace 15s + spread 15s`},
		{"a close code that may not be sent", &middleware.Drainer{}, policy.Rule{Farewell: policy.Farewell{Code: 1006}}, "1006"},
		{"a reason that is too long", &middleware.Drainer{}, policy.Rule{Farewell: policy.Farewell{Reason: strings.Repeat("x", 124)}}, "124 bytes, 123 is the most"},
		{"a reason that is not UTF-8", &middleware.Drainer{}, policy.Rule{Farewell: policy.Farewell{Reason: "\xff"}}, "UTF-8"},
		{"a newline in an event's name", &middleware.Drainer{}, policy.Rule{Farewell: policy.Farewell{Event: "a\nb"}}, `"a\nb"`},
		{"a negative budget", &middleware.Drainer{Budget: policy.Budget{Total: -1}}, policy.Rule{}, "Budget.Total"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				switch v := recover().(type) {
				case error:
					assert.ErrorContains(t, v, c.want)
				case string:
					assert.Contains(t, v, c.want)
				default:
					t.Errorf("no panic that names what is wrong: %v", v)
				}
			}()
			middleware.Graceful(c.d, c.rule)
		})
	}
	assert.PanicsWithValue(t, "middleware: Graceful was given a nil http.Handler to wrap", func() {
		middleware.Graceful(&middleware.Drainer{})(nil)
	})
}

// Nested, a response is tracked once, and the innermost rule has precedence, field by field.
func TestNestedGracefulTracksOnce(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Grace: 1 * time.Second, Spread: 1 * time.Second, Timeout: 1 * time.Second, Mercy: 1 * time.Second}}
	outer := middleware.Graceful(d, policy.Rule{Spread: 2 * time.Second, Timeout: 2 * time.Second, Mercy: 2 * time.Second})
	inner := middleware.Graceful(d, policy.Rule{Timeout: 3 * time.Second}, policy.Rule{Timeout: 4 * time.Second, Mercy: 3 * time.Second})
	var rule policy.Rule
	var open int
	h := outer(inner(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rule = stream.From(r.Context()).Rule()
		open = d.Report().Open.All()
	})))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, policy.Rule{Grace: 1 * time.Second, Spread: 2 * time.Second, Timeout: 3 * time.Second, Mercy: 3 * time.Second}, rule)
	assert.Equal(t, 1, open)
	assert.EqualValues(t, 1, d.Report().Before.All())
}

// Two Drainers, one around the other, both track a response, and the inner one says so once.
func TestTwoDrainersBothTrack(t *testing.T) {
	var warnings strings.Builder
	a := &middleware.Drainer{}
	b := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&warnings, nil))}
	h := middleware.Graceful(a)(middleware.Graceful(b)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		assert.Equal(t, 1, a.Report().Open.All())
		assert.Equal(t, 1, b.Report().Open.All())
	})))
	for range 2 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/feed", nil))
	}
	assert.Equal(t, 1, strings.Count(warnings.String(), "two Drainers are around one handler"), warnings.String())
	assert.Contains(t, warnings.String(), "path=/feed")
}

// A handler that calls another server's for a response of its own is no mistake.
func TestTwoDrainersForTwoResponses(t *testing.T) {
	var warnings strings.Builder
	b := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&warnings, nil))}
	inner := middleware.Graceful(b)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	h := middleware.Graceful(&middleware.Drainer{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(httptest.NewRecorder(), r)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/feed", nil))
	assert.Empty(t, warnings.String())
}
