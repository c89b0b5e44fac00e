package mcp

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Ends tells the time once, however the body comes and however often its end is read.
func TestEnds(t *testing.T) {
	long := strings.Repeat("data: long\n", 1000) + "\n"
	for text, want := range map[string]time.Duration{
		"":                                     time.Second,
		"data: retry: 5\n\n":                   time.Second,
		"retry: 1234\n\n":                      1234 * time.Millisecond,
		"retry: 1\n\nretry: 1234\ndata: x\n\n": 1234 * time.Millisecond,
		long + "retry: 1234\nevent: shutdown\n\n":       1234 * time.Millisecond,
		"retry: 1234\n\n" + long + "data: retry: 5\n\n": 1234 * time.Millisecond,
	} {
		for size := 1; size < 40; size++ {
			var told []time.Duration
			e := Ends{roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(iotest.DataErrReader(strings.NewReader(text)))}, nil
			}), func(slot time.Duration) { told = append(told, slot) }}
			res, err := e.RoundTrip(&http.Request{Header: http.Header{"Mcp-Method": {"subscriptions/listen"}}})
			require.NoError(t, err)
			var got bytes.Buffer
			for piece := make([]byte, size); err == nil; {
				var n int
				n, err = res.Body.Read(piece)
				got.Write(piece[:n])
			}
			_, _ = res.Body.Read(make([]byte, 1))
			assert.Equal(t, text, got.String())
			assert.Equal(t, []time.Duration{want}, told, "%.30q in pieces of %d bytes", text, size)
		}
	}
}
