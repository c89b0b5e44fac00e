package middleware

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

// The stacks of a program with many goroutines are cut off, which may be anywhere in that of a
// handler.
func TestFindHandlerInStacksThatAreCutOff(t *testing.T) {
	r := new(tracked.Response)
	frames := "goroutine 7 [chan receive, 2 minutes]:\n" +
		"main.query(0xc000012345, {0x0, 0x0})\n\t/src/app/main.go:17 +0x1c\n" +
		"main.room(...)\n\t/src/app/rooms.go:4\n"
	call := fmt.Sprintf(ours+"middleware.(*exchange).run(%p", r)
	text := frames + call + ", {0x7b1d60, 0xc000012600})\n\t/src/lastcall/middleware/exchange.go:85 +0x1b\n"
	whole := place{"chan receive", "main.query (main.go:17) < main.room (rooms.go:4)", strings.TrimSpace(frames)}
	for n := range len(text) {
		want := place{}
		if n > len(frames)+len(call) {
			want = whole
		}
		assert.Equal(t, want, findHandler([]byte(text[:n]), r), text[:n])
	}
	assert.Equal(t, whole, findHandler([]byte("goroutine 1 [running]:\nmain.main()\n\t/src/app/main.go:3\n\n"+text), r))
	assert.Equal(t, place{}, findHandler([]byte(strings.Replace(text, call, call+"0", 1)), r), "another's")
}
