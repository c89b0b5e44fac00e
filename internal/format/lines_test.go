package format

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/policy"
)

// Whatever is written in whatever pieces, a line can be put in where one ended.
func FuzzLines(f *testing.F) {
	f.Add([]byte("{}\n{\"a\":1}\n"), 3, 5)
	f.Add([]byte("no end"), 0, 6)
	f.Fuzz(func(t *testing.T, body []byte, a, b int) {
		cut := func(i int) int { return min(max(i, 0), len(body)) }
		a, b = cut(a), cut(b)
		a, b = min(a, b), max(a, b)
		var l lines
		_, _ = l.Write(body[:a])
		_, _ = l.Write(nil)
		whole := a == 0 || body[a-1] == '\n'
		assert.Equal(t, whole, l.AtBoundary())
		want := -1
		for n := 0; n <= b-a; n++ {
			if a+n == 0 || body[a+n-1] == '\n' {
				want = n
				break
			}
		}
		assert.Equal(t, want, l.Boundary(body[a:b]))
	})
}

func TestLinesFarewell(t *testing.T) {
	var l lines
	assert.Equal(t, "{}\n{\"bye\":1}\n", string(l.AppendFarewell([]byte("{}\n"), policy.Farewell{Message: `{"bye":1}`}, time.Second)))
	assert.Equal(t, "{}\n", string(l.AppendFarewell([]byte("{}\n"), policy.Farewell{}, time.Second)))
}
