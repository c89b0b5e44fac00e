package browsers

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/policy"
)

// The exit status of curl says how a body ended (EXIT CODES in curl(1)).
const (
	inOrder  = 0
	partial  = 18 // a chunked body without its last chunk, fewer bytes than were declared
	badReset = 92 // an HTTP/2 stream that was reset; it is 18 if curl reads a GOAWAY with that
)

// TestCurl drains a server that curl reads from. Its exit status has to be 0 for what is whole, and
// an error for what was cut, and for an event stream behind its farewell: curl is no EventSource.
func TestCurl(t *testing.T) {
	curl := harness.Curl(t)
	const farewell = `^data: old over HTTP/[12].[01]\n\nretry: [1-3]\d\d\nevent: shutdown\ndata: {"retry":[1-3]\d\d}\n\n$`
	const cut, whole = `^half a body, $`, `^half a body, half a body, $`
	tests := []struct {
		name     string
		protocol protocol
		path     string
		released bool  // the body's second half comes
		status   []int // any of these
		output   string
	}{
		{"event stream", http1, "/events", false, []int{partial}, farewell},
		{"event stream", h2c, "/events", false, []int{badReset, partial}, farewell},
		{"event stream", h2, "/events", false, []int{badReset, partial}, farewell},

		{"whole body", http1, "/body", true, []int{inOrder}, whole},
		{"whole body", h2c, "/body", true, []int{inOrder}, whole},
		{"whole body", h2, "/body", true, []int{inOrder}, whole},

		{"body cut at its deadline", http1, "/body", false, []int{partial}, cut},
		{"body of a declared length cut at its deadline", http1, "/body?length", false, []int{partial}, cut},
		{"body cut at its deadline", h2c, "/body", false, []int{badReset, partial}, cut},
		{"body cut at its deadline", h2, "/body", false, []int{badReset, partial}, cut},
	}
	for _, tt := range tests {
		t.Run(tt.name+" over "+tt.protocol.scheme+" "+tt.protocol.name, func(t *testing.T) {
			hold := make(chan struct{})
			var rule policy.Rule
			if !tt.released {
				rule.Grace = 50 * time.Millisecond
			}
			s := serve(t, tt.protocol, "127.0.0.1:0", site{name: "old", hold: hold, rule: rule})
			ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
			defer cancel()
			args := append([]string{"--silent", "--show-error", "--no-buffer", s.URL(tt.path)}, tt.protocol.curl...)
			cmd := exec.CommandContext(ctx, curl, args...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			body := bufio.NewReader(stdout)
			_, err = body.Peek(1)
			assert.NoError(t, err, "the body has started")

			s.Stop()
			if tt.released {
				<-s.Drainer.Draining()
				close(hold)
			}
			output, err := io.ReadAll(body)
			assert.NoError(t, err)
			_ = cmd.Wait() // its error is the exit status
			assert.Contains(t, tt.status, cmd.ProcessState.ExitCode(), &stderr)
			assert.Regexp(t, tt.output, string(output))
		})
	}
}
