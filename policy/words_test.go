package policy_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestKindText(t *testing.T) {
	testWords[policy.Kind](t, `policy: kind %d is unknown; use Auto, Finite or Infinite`,
		`policy: kind %q is unknown; use "auto", "finite" or "infinite"`, "auto", "finite", "infinite")
}

func TestOrderText(t *testing.T) {
	testWords[policy.Order](t, `policy: order %d is unknown; use Random, OldestFirst, YoungestFirst or IdleFirst`,
		`policy: order %q is unknown; use "random", "oldest-first", "youngest-first" or "idle-first"`,
		"random", "oldest-first", "youngest-first", "idle-first")
}

func TestEndingText(t *testing.T) {
	testWords[policy.Ending](t, `policy: ending %d is unknown; use AutoEnding, CleanEnding or BrokenEnding`,
		`policy: ending %q is unknown; use "auto", "clean" or "broken"`, "auto", "clean", "broken")
	assert.Equal(t, [3]policy.Ending{0, 1, 2}, [3]policy.Ending{policy.AutoEnding, policy.CleanEnding, policy.BrokenEnding})
}

func TestFormatText(t *testing.T) {
	testWords[policy.Format](t, `policy: format %d is unknown; use AutoFormat, EventsFormat, LinesFormat, PartsFormat or NoFormat`,
		`policy: format %q is unknown; use "auto", "events", "lines", "parts" or "none"`, "auto", "events", "lines", "parts", "none")
	assert.Equal(t, [5]policy.Format{0, 1, 2, 3, 4},
		[5]policy.Format{policy.AutoFormat, policy.EventsFormat, policy.LinesFormat, policy.PartsFormat, policy.NoFormat})
}

func TestSendText(t *testing.T) {
	testWords[policy.Send](t, `policy: send %d is unknown; use SendAll, SendRetry or SendNothing`,
		`policy: send %q is unknown; use "all", "retry" or "nothing"`, "all", "retry", "nothing")
	assert.Equal(t, [3]policy.Send{0, 1, 2}, [3]policy.Send{policy.SendAll, policy.SendRetry, policy.SendNothing})
}

// testWords tests a type whose values 0, 1, 2… have words, and the errors for others.
func testWords[T interface {
	~uint8
	fmt.Stringer
	encoding.TextMarshaler
}, P interface {
	*T
	encoding.TextUnmarshaler
}](t *testing.T, unknownValue, unknownWord string, words ...string) {
	t.Helper()
	for i, word := range words {
		value := T(i)
		assert.Equal(t, word, value.String())
		text, err := json.Marshal(value)
		require.NoError(t, err)
		assert.Equal(t, `"`+word+`"`, string(text))
		var back T
		require.NoError(t, json.Unmarshal(text, &back))
		assert.Equal(t, value, back)
	}
	unknown := T(len(words))
	assert.Regexp(t, fmt.Sprintf(`^[A-Z][a-z]+\(%d\)$`, len(words)), unknown.String())
	_, err := unknown.MarshalText()
	require.EqualError(t, err, fmt.Sprintf(unknownValue, len(words)))

	last := T(len(words) - 1)
	for _, wrong := range []string{"", "Auto", words[0] + " ", words[1][1:]} {
		require.EqualError(t, P(&last).UnmarshalText([]byte(wrong)), fmt.Sprintf(unknownWord, wrong))
		assert.Equal(t, T(len(words)-1), last, "changed by %q", wrong)
	}
}
