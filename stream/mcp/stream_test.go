package mcp

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzEvents compares what the scanner finds in an event stream with what a reader of all of it
// does, however the bytes come.
func FuzzEvents(f *testing.F) {
	for _, s := range []string{
		"event: endpoint\ndata: /message?sessionId=1\r\n\r\n", "data: {\"id\":1,\"result\":{}}\n\n: x\n\ndata:a\ndata: b\rdata\r\n\r\n",
		"retry: 5\n\nevent:message\ndata\n\nid\ndatax: 1\n\n", "event: a\nevent: b\ndata: \n\n", "\n\n\ndata: unfinished",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > maxToken {
			return
		}
		var s eventScanner
		var found []event
		for i := range len(body) {
			if e, ok := s.writeByte(body[i]); ok {
				var whole scanner
				_, _ = whole.Write([]byte(e.data))
				require.Equal(t, whole.found, e.messages)
				e.messages = nil
				found = append(found, e)
			}
		}
		require.Equal(t, readEvents(body), found, "%q", body)
	})
}

// FuzzSessionKey compares the key of a session, which the endpoint event gives, with that of a
// request to there, as net/http writes and reads it.
func FuzzSessionKey(f *testing.F) {
	for _, s := range []string{"/message?sessionId=1", "message/1", "http://server/x?y=%2F&z", "?session=A+b", "//server/a%2Fb", "?", "../x#y"} {
		f.Add(s)
	}
	base, err := url.Parse("http://server/mcp/sse")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, endpoint string) {
		u, err := base.Parse(endpoint)
		if err != nil || u.Scheme != "http" || u.Host == "" {
			return
		}
		sent, err := http.NewRequest(http.MethodPost, u.String(), nil)
		if err != nil {
			return
		}
		var wire bytes.Buffer
		if sent.Write(&wire) != nil {
			return
		}
		got, err := http.ReadRequest(bufio.NewReader(&wire))
		if err != nil {
			return
		}
		if got.URL.Path == "/" && u.Path == "" {
			u.Path = "/"
		}
		require.Equal(t, sessionKey(got.URL), sessionKey(u), "%q", endpoint)
	})
}

// readEvents reads the events that have data as WHATWG HTML 9.2.6 says.
func readEvents(body string) (found []event) {
	body = strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(body, "\n")
	var e event
	var data []string
	for _, line := range lines[:len(lines)-1] {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if data != nil {
				e.data = strings.Join(data, "\n")
				found = append(found, e)
			}
			e, data = event{}, nil
		case field == "event":
			e.name = value
		case field == "data":
			data = append(data, value)
		}
	}
	return found
}
