package sse_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/sse"
)

// Whatever is written in whatever pieces, a line can be put in where one ended.
func FuzzLines(f *testing.F) {
	f.Add([]byte("{}\n{\"a\":1}\n"), 3, 5)
	f.Add([]byte("no end"), 0, 6)
	f.Fuzz(func(t *testing.T, body []byte, a, b int) {
		cut := func(i int) int { return min(max(i, 0), len(body)) }
		a, b = cut(a), cut(b)
		a, b = min(a, b), max(a, b)
		var l sse.Lines
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
