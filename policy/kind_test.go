package policy_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestKindText(t *testing.T) {
	for kind, word := range map[policy.Kind]string{
		policy.Auto: "auto", policy.Finite: "finite", policy.Infinite: "infinite",
	} {
		assert.Equal(t, word, kind.String())
		text, err := json.Marshal(kind)
		require.NoError(t, err)
		assert.Equal(t, `"`+word+`"`, string(text))
		var back policy.Kind
		require.NoError(t, json.Unmarshal(text, &back))
		assert.Equal(t, kind, back)
	}
}

func TestKindUnknown(t *testing.T) {
	assert.Equal(t, "Kind(7)", policy.Kind(7).String())
	_, err := policy.Kind(7).MarshalText()
	assert.EqualError(t, err, "policy: kind 7 is unknown; use Auto, Finite or Infinite")

	kind := policy.Infinite
	for _, word := range []string{"", "Auto", "finite ", "infinit"} {
		require.ErrorContains(t, kind.UnmarshalText([]byte(word)), `use "auto", "finite" or "infinite"`)
		assert.Equal(t, policy.Infinite, kind, "changed by %q", word)
	}
}
