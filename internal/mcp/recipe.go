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
		res.Body = &subscription{ReadCloser: res.Body, slot: time.Second, ended: e.Ended}
	}
	return res, err
}

type subscription struct {
	io.ReadCloser
	slot  time.Duration
	ended func(time.Duration)
}

var retryField = regexp.MustCompile(`(?m)^retry: (\d+)$`)

func (s *subscription) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if field := retryField.FindSubmatch(p[:n]); field != nil {
		ms, _ := strconv.Atoi(string(field[1]))
		s.slot = time.Duration(ms) * time.Millisecond
	}
	if err != nil {
		s.ended(s.slot)
	}
	return n, err
}
