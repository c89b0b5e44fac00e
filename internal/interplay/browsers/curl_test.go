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

	"github.com/lastcall-go/lastcall/policy"
)

// curl's exit status tells how a body ended: see EXIT CODES in curl(1).
const (
	inOrder  = 0
	partial  = 18 // a chunked body without its last chunk, fewer bytes than were declared
	badReset = 92 // a stream of HTTP/2 that was reset; partial, where curl reads the connection's GOAWAY with it
)

func TestCurl(t *testing.T) {
	curl := program(t, "LASTCALL_CURL", "curl")
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
		{"event stream", http1, "/events", false, []int{inOrder}, farewell},
		{"event stream", h2c, "/events", false, []int{inOrder}, farewell},
		{"event stream", h2, "/events", false, []int{inOrder}, farewell},

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
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			args := append([]string{"--silent", "--show-error", "--no-buffer", s.url(tt.path)}, tt.protocol.curl...)
			cmd := exec.CommandContext(ctx, curl, args...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			body := bufio.NewReader(stdout)
			_, err = body.Peek(1)
			assert.NoError(t, err, "something came")

			s.stop()
			if tt.released {
				<-s.drainer.Draining()
				close(hold)
			}
			output, err := io.ReadAll(body)
			assert.NoError(t, err)
			_ = cmd.Wait() // what is wrong is in the status
			assert.Contains(t, tt.status, cmd.ProcessState.ExitCode(), &stderr)
			assert.Regexp(t, tt.output, string(output))
		})
	}
}
