package llm

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	ollama "github.com/ollama/ollama/api"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// attempts is how often the libraries repeat a call. Their own default is 2, for a server that is
// back after a second or two.
const attempts = 10

func TestOpenAI(t *testing.T) {
	rounds(t, func(ctx context.Context, url, question string, rt http.RoundTripper) (string, error) {
		api := openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey("none"), option.WithMaxRetries(attempts),
			option.WithHTTPClient(&http.Client{Transport: rt}))
		s := api.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
			Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(question)},
		})
		var answer strings.Builder
		finished := ""
		for s.Next() {
			for _, choice := range s.Current().Choices {
				answer.WriteString(choice.Delta.Content)
				finished += choice.FinishReason
			}
		}
		if s.Err() == nil && finished != "stop" {
			return answer.String(), fmt.Errorf("it finished for %q", finished)
		}
		return answer.String(), s.Err()
	})
}

func TestAnthropic(t *testing.T) {
	rounds(t, func(ctx context.Context, url, question string, rt http.RoundTripper) (string, error) {
		api := anthropic.NewClient(anthropicoption.WithBaseURL(url), anthropicoption.WithAPIKey("none"),
			anthropicoption.WithMaxRetries(attempts), anthropicoption.WithHTTPClient(&http.Client{Transport: rt}))
		s := api.Messages.NewStreaming(ctx, anthropic.MessageNewParams{
			Model: "m", MaxTokens: 100, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(question))},
		})
		var message anthropic.Message
		for s.Next() {
			if err := message.Accumulate(s.Current()); err != nil {
				return "", err
			}
		}
		if s.Err() != nil || message.StopReason != anthropic.StopReasonEndTurn {
			return "", fmt.Errorf("it stopped for %q: %w", message.StopReason, s.Err())
		}
		return message.Content[0].Text, nil
	})
}

// Ollama's client doesn't repeat a call. A late one gets 503 as an api.StatusError.
func TestOllama(t *testing.T) {
	rounds(t, func(ctx context.Context, base, question string, rt http.RoundTripper) (answer string, err error) {
		u, err := url.Parse(base)
		if err != nil {
			return "", err
		}
		api := ollama.NewClient(u, &http.Client{Transport: rt})
		err = again(ctx, func() error {
			answer = ""
			done := false
			err := api.Chat(ctx, &ollama.ChatRequest{Model: "m", Messages: []ollama.Message{{Role: "user", Content: question}}},
				func(r ollama.ChatResponse) error {
					answer += r.Message.Content
					done = r.Done
					return nil
				})
			if err == nil && !done {
				err = fmt.Errorf("it ended early, after %q", answer)
			}
			return err
		})
		return answer, err
	})
}
