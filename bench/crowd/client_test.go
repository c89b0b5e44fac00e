package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Clients accept whole streams and report every fault of others.
func TestFollow(t *testing.T) {
	const bye = "retry: 1500\nevent: shutdown\ndata: {\"retry\":1500}\n\n"
	for body, wrong := range map[string]string{
		bye:                            "",
		"data: 1\n\ndata: 2\n\n" + bye: "",
		"":                             "without a farewell: EOF",
		"data: 1\n\n":                  "without a farewell: EOF",
		"data: 1\n":                    "unexpected EOF",
		"data: 1\n\ndata: 3\n\n" + bye: "where message 2 should be",
		"data: 1\n\ndata: 1\n\n" + bye: "where message 2 should be",
		"data: 01\n\n" + strings.Repeat("x", 9) + bye: "where message",
		"\n" + bye:                              "where message 1 should be",
		"data: 1\n" + bye:                       "where message 1 should be",
		"id: 1\n" + bye:                         "where message 1 should be",
		strings.Replace(bye, "1500", "1501", 1): "where message 1 should be",
		bye + bye:                               "after the farewell",
		bye + "data: 1\n\n":                     "after the farewell",
		bye + "d":                               "unexpected EOF",
	} {
		check(t, events, strings.NewReader(body), body, wrong)
	}
	check(t, events, io.MultiReader(strings.NewReader(bye), iotest.ErrReader(io.ErrUnexpectedEOF)), "no last chunk", "not a clean end")

	const closing = "\x88\x1d\x03\xf4service restart; retry=1500"
	for frames, wrong := range map[string]string{
		closing:                          "",
		"\x81\x011\x81\x012" + closing:   "",
		"":                               "without a farewell: EOF",
		"\x81":                           "unexpected EOF",
		"\x81\x02":                       "unexpected EOF",
		"\x81\x021":                      "unexpected EOF",
		"\x81\x012" + closing:            "where message 1 should be",
		"\x01\x011" + closing:            "where message 1 should be",
		"\xc1\x011" + closing:            "where message 1 should be",
		"\x89\x00" + closing:             "where message 1 should be",
		"\x88\x02\x03\xf4":               "where message 1 should be",
		"\x88\x1d\x03\xe9" + closing[4:]: "where message 1 should be",
		"\x81\x81\x00\x00\x00\x001":      "masked",
		"\x81\x7e\x00\x7e":               "longer",
		closing + closing:                "after the farewell",
		closing + "\x81\x011":            "after the farewell",
		closing + "\x81":                 "unexpected EOF",
	} {
		check(t, sockets, strings.NewReader(frames), frames, wrong)
	}
	check(t, sockets, io.MultiReader(strings.NewReader(closing), iotest.ErrReader(errors.New("reset"))), "a reset", "not a clean end: reset")
}

func check(t *testing.T, p *protocol, stream io.Reader, name, wrong string) {
	t.Helper()
	c := over(t, p, stream)
	s := c.follow()
	if wrong == "" {
		assert.Empty(t, s.Fault, "%q", name)
		assert.Equal(t, 1500*time.Millisecond, s.Retry)
		assert.False(t, s.Ended.Before(s.Told))
		assert.Equal(t, string(p.reply), c.conn.(*sink).String())
		return
	}
	assert.Contains(t, s.Fault, wrong, "%q", name)
}

// A stuck client reports an end that is not a cut.
func TestFollowStuck(t *testing.T) {
	const whole = "data: 1\n\n"
	for _, test := range []struct {
		stream io.Reader
		wrong  string
	}{
		{io.MultiReader(strings.NewReader("data: x"), iotest.ErrReader(io.ErrUnexpectedEOF)), ""},
		{iotest.ErrReader(errors.New("reset")), ""},
		{strings.NewReader("data: x"), ""},
		{strings.NewReader(""), "as if it had ended in order"},
		{strings.NewReader(whole), "got a whole"},
		{iotest.ErrReader(os.ErrDeadlineExceeded), "is open still"},
	} {
		s := over(t, stuck, test.stream).follow()
		assert.True(t, s.Stuck)
		if test.wrong == "" {
			assert.Empty(t, s.Fault)
		} else {
			assert.Contains(t, s.Fault, test.wrong)
		}
	}
}

// Clients report a response that is no stream.
func TestRefusedStream(t *testing.T) {
	for _, p := range []*protocol{events, stuck, sockets} {
		_, err := p.reader(&http.Response{Status: "503 Service Unavailable", StatusCode: http.StatusServiceUnavailable}, nil)
		assert.ErrorContains(t, err, "503")
	}
}

// over returns a client that reads stream after the response's header.
func over(t *testing.T, p *protocol, stream io.Reader) *client {
	res := &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"text/event-stream"}},
		Body:       io.NopCloser(stream),
	}
	if p.socket {
		res.StatusCode = http.StatusSwitchingProtocols
		res.Header = http.Header{"Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}}
	}
	next, err := p.reader(res, bufio.NewReader(stream))
	require.NoError(t, err)
	return &client{protocol: p, conn: new(sink), next: next}
}

// A sink is a connection that keeps what is written to it.
type sink struct {
	net.Conn
	strings.Builder
}

func (s *sink) Write(p []byte) (int, error) { return s.Builder.Write(p) }
func (*sink) Close() error                  { return nil }
