package middleware_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Streams in other formats than SSE end at a boundary of their own, with a last message if their
// rule has one.
func TestOtherStreamsEndAtTheirBoundary(t *testing.T) {
	const json, mixed, results = "application/x-ndjson", "multipart/x-mixed-replace; boundary=b", `multipart/mixed;boundary="b";subscriptionSpec=1.0`
	for name, c := range map[string]struct {
		contentType, encoding string
		parts                 []string // a second apart; the drain begins after the first
		message               string
		want                  string
	}{
		"lines":                       {json, "", []string{"{}\n{", "}\n{}\n"}, "", "{}\n{}\n"},
		"lines and a last one":        {json, "", []string{"{}\n{", "}\n{}\n"}, `{"bye":{retry}}`, "{}\n{}\n{\"bye\":2000}\n"},
		"between lines":               {json, "", []string{"{}\n", "{}\n"}, "bye", "{}\nbye\n"},
		"a line that never ends":      {json, "", []string{"{}\n{", "}"}, "bye", "{}\n{}"},
		"parts":                       {mixed, "", []string{"--b\r\n\r\n1", "\r\n--b\r\n\r\n2\r\n"}, "", "--b\r\n\r\n1\r\n--b--\r\n"},
		"parts and a last one":        {mixed, "", []string{"--b\r\n\r\n1\r\n", "--b\r\n\r\n2\r\n"}, "\r\nbye", "--b\r\n\r\n1\r\n--b\r\n\r\nbye\r\n--b--\r\n"},
		"results":                     {results, "", []string{"--b\r\n\r\n1\r\n--b\r\n", "\r\n2\r\n--b\r\n"}, "", "--b\r\n\r\n1\r\n--b\r\n\r\n--b--\r\n"},
		"results and a last one":      {results, "", []string{"--b\r\n\r\n1\r\n--b\r\n", "\r\n2\r\n--b\r\n"}, "\r\nbye", "--b\r\n\r\n1\r\n--b\r\n\r\nbye\r\n--b--\r\n"},
		"a result in pieces":          {results, "", []string{"--b\r\n\r\n1\r\n--b\r\nA: b", "\r\n\r\n2\r\n--b\r\n"}, "\r\nbye", "--b\r\n\r\n1\r\n--b\r\nA: b\r\n\r\n2\r\n--b\r\n\r\nbye\r\n--b--\r\n"},
		"results that are over":       {results, "", []string{"--b\r\n\r\n1\r\n--b--\r\n", "\r\n"}, "bye", "--b\r\n\r\n1\r\n--b--\r\n\r\n"},
		"compressed lines":            {json + " ", "br", []string{"\n", "\n"}, "bye", "\n\n"},
		"lines, encoded as they are":  {json, "identity", []string{"{}\n", "{}\n"}, "bye", "{}\nbye\n"},
		"of a type that says nothing": {"multipart/x-mixed-replace", "", []string{"1", "2"}, "bye", "12"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{
					Kind:      policy.Infinite,
					Timeout:   3 * time.Second,
					Reconnect: policy.Window{Min: 2 * time.Second, Max: 2 * time.Second},
					Farewell:  policy.Farewell{Message: c.message},
				}}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", c.contentType)
					if c.encoding != "" {
						w.Header().Set("Content-Encoding", c.encoding)
					}
					for _, p := range c.parts {
						_, err := io.WriteString(w, p)
						assert.NoError(t, err)
						w.(http.Flusher).Flush()
						time.Sleep(time.Second)
					}
					<-r.Context().Done()
				}))
				got := r.getAsync("/")
				r.drain()
				report := r.endsAfter(3 * time.Second)
				a := <-got
				if c.contentType == json && !strings.HasSuffix(c.want, "\n") {
					assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF, "half a line could pass for a whole one")
				} else {
					assert.NoError(t, a.err)
				}
				assert.Equal(t, c.want, a.body)
				farewell := c.want != strings.Join(c.parts, "") && (c.message != "" || c.contentType == mixed || c.contentType == results)
				assert.Equal(t, farewell, report.Told == 1, "%+v", report)
			})
		})
	}
}

// With Timeout AtOnce the cancel would come in the middle of the event, line or part whose end the
// farewell waits for. It lets that end first.
func TestCancelWaitsForTheBoundary(t *testing.T) {
	for name, c := range map[string]struct {
		contentType string
		parts       [2]string
		message     string
		want        string
	}{
		"of an event": {"text/event-stream", [2]string{"data: a\n", "\n"}, "bye", `^data: a\n\nretry: \d+\nevent: shutdown\n`},
		"of a line":   {"application/x-ndjson", [2]string{`{"a":`, "1}\n"}, "bye", `^{"a":1}\nbye\n$`},
		"of a part": {
			"multipart/x-mixed-replace; boundary=b", [2]string{"--b\r\n\r\n1", "\r\n--b\r\n"}, "\r\nbye",
			`^--b\r\n\r\n1\r\n--b\r\n\r\nbye\r\n--b--\r\n$`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rule := policy.Rule{Kind: policy.Infinite, Timeout: policy.AtOnce, Farewell: policy.Farewell{Message: c.message}}
				r := serve(t, &middleware.Drainer{Policy: rule}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", c.contentType)
					for _, part := range c.parts {
						if r.Context().Err() != nil {
							return
						}
						_, _ = io.WriteString(w, part)
						w.(http.Flusher).Flush()
						time.Sleep(300 * time.Millisecond)
					}
					<-r.Context().Done()
				}))
				got := r.getAsync("/")
				r.drain()
				report := r.endsAfter(600 * time.Millisecond)
				assert.Regexp(t, c.want, (<-got).body)
				assert.EqualValues(t, 1, report.Told)
			})
		})
	}
}
