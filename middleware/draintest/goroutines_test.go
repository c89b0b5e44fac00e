package draintest

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

// With -trimpath files don't tell the standard library's functions from the program's.
func TestProgramWithTrimpath(t *testing.T) {
	defer func(root string) { standardRoot = root }(standardRoot)
	standardRoot = ""
	for function, want := range map[string]bool{
		"runtime.gopark":                    false,
		"internal/poll.runtime_pollWait":    false,
		"net/http.(*conn).serve":            false,
		"example.com/news.(*feed).next":     true,
		"example.com/chat/room.Join.func1":  true,
		library + "/middleware.Graceful":    false,
		library + "/internal/memnet.NewNet": false,
	} {
		assert.Equal(t, want, ofProgram(runtime.Frame{Function: function}), function)
	}
}
