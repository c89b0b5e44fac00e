package llm

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/lastcall-go/lastcall/internal/apis/rig"
)

// The npm packages of the same APIs, in Node.js. They repeat a call that came too late.
func TestNode(t *testing.T) {
	for _, name := range []string{"openai", "anthropic"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := rig.Start(t)
			roundsOver(t, false, func(ctx context.Context, url, question string, _ http.RoundTripper) (string, error) {
				_, events := node.Begin(t, rig.Command{Client: name, URL: url, Question: question})
				select {
				case e := <-events:
					if e.Answer == nil {
						return "", errors.New(e.Error)
					}
					return *e.Answer, nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			})
		})
	}
}
