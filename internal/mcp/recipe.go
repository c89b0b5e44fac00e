package mcp

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// Ends tells when a subscription of go-sdk's client has ended, which that client tells nobody, and
// when the server asks its application to subscribe again. It is the Transport of the client that
// mcp.StreamableClientTransport gets.
type Ends struct {
	http.RoundTripper
	Ended func(slot time.Duration) // must not block
}

func (e Ends) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := e.RoundTripper.RoundTrip(r)
	switch {
	case err != nil || r.Header.Get("Mcp-Method") != "subscriptions/listen":
	case res.StatusCode == http.StatusServiceUnavailable:
		s, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		e.Ended(time.Duration(max(1, s)) * time.Second)
	default:
		res.Body = &subscription{ReadCloser: res.Body, seen: []byte("\n"), slot: time.Second, ended: e.Ended}
	}
	return res, err
}

type subscription struct {
	io.ReadCloser
	seen  []byte // the end of what was read: a field may come in two pieces
	slot  time.Duration
	ended func(time.Duration) // nil: it was called
}

var retryField = regexp.MustCompile(`\nretry: (\d+)`)

func (s *subscription) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.seen = append(s.seen, p[:n]...)
	for _, field := range retryField.FindAllSubmatch(s.seen, -1) {
		ms, _ := strconv.Atoi(string(field[1]))
		s.slot = time.Duration(ms) * time.Millisecond
	}
	s.seen = append(s.seen[:0], s.seen[max(0, len(s.seen)-30):]...)
	if err != nil && s.ended != nil {
		s.ended(s.slot)
		s.ended = nil
	}
	return n, err
}
