// Package request reads requests that are written as HTTP writes them, for the drill and its judge.
package request

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// A Request can be sent over and over.
type Request struct {
	Method, Path string
	Header       http.Header
	Body         string
}

// Parse reads a request in HTTP's own form: the first line has a method, GET if it is left out,
// and a path. The lines below it are header fields, and what is behind an empty line is the body.
func Parse(text string) (Request, error) {
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
	first, fields, _ := strings.Cut(strings.Trim(head, "\n"), "\n")
	method, path, ok := strings.Cut(strings.TrimSpace(first), " ")
	if !ok {
		method, path = http.MethodGet, method
	}
	if path = strings.TrimSpace(path); !strings.HasPrefix(path, "/") {
		return Request{}, fmt.Errorf("%q is no route: write it as in \"GET /events\"", first)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(
		method + " " + path + " HTTP/1.1\r\nHost: draintest.test\r\n" + strings.ReplaceAll(strings.TrimSpace(fields), "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		return Request{}, fmt.Errorf("%q is no route: %w", text, err)
	}
	return Request{method, path, r.Header, body}, nil
}

// Name is the request's in findings.
func (r Request) Name() string { return r.Method + " " + r.Path }

// ForEvents returns r with the header fields of an EventSource, or else of another client of event
// streams.
func (r Request) ForEvents(eventSource bool) Request {
	r.Header = r.Header.Clone()
	r.Header.Set("Accept", "text/event-stream")
	if eventSource {
		r.Header.Set("Cache-Control", "no-cache")
		r.Header.Set("User-Agent", "EventSource")
	}
	return r
}

// HTTP returns a new request to the server at base.
func (r Request) HTTP(base string) *http.Request {
	var body io.Reader
	if r.Body != "" {
		body = strings.NewReader(r.Body)
	}
	req, err := http.NewRequest(r.Method, base+r.Path, body)
	if err != nil {
		panic(err) // Parse has read it
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	return req
}

// Wire returns the request as it is sent. For a WebSocket it asks for one.
func (r Request) Wire(host string, webSocket bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.Path, host)
	_ = r.Header.Write(&b) // a Builder takes all
	if webSocket {
		b.WriteString("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ZHJhaW50ZXN0IGRyYWludA==\r\n")
	}
	if r.Body != "" || r.Method != http.MethodGet {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.Body))
	}
	return b.String() + "\r\n" + r.Body
}

// IsWebSocket reports whether a response agrees to a WebSocket.
func IsWebSocket(res *http.Response) bool {
	return res.StatusCode == http.StatusSwitchingProtocols && strings.EqualFold(res.Header.Get("Upgrade"), "websocket")
}
