package draintest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// A route is a request that can be sent over and over.
type route struct {
	method, path string
	header       http.Header
	body         string
}

// parseRoute reads a request in HTTP's own form: the first line has a method, GET if it is left out,
// and a path. The lines below it are header fields, and what is behind an empty line is the body.
func parseRoute(text string) (route, error) {
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
	first, fields, _ := strings.Cut(strings.Trim(head, "\n"), "\n")
	method, path, ok := strings.Cut(strings.TrimSpace(first), " ")
	if !ok {
		method, path = http.MethodGet, method
	}
	if path = strings.TrimSpace(path); !strings.HasPrefix(path, "/") {
		return route{}, fmt.Errorf("draintest: %q is no route: write it as in \"GET /events\"", first)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(
		method + " " + path + " HTTP/1.1\r\nHost: draintest.test\r\n" + strings.ReplaceAll(strings.TrimSpace(fields), "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		return route{}, fmt.Errorf("draintest: %q is no route: %w", text, err)
	}
	return route{method, path, r.Header, body}, nil
}

// name is the route's in findings.
func (r route) name() string { return r.method + " " + r.path }

// request returns a new request.
func (r route) request(base string) *http.Request {
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequest(r.method, base+r.path, body)
	if err != nil {
		panic(err) // parseRoute has read it
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	return req
}

// wire returns the request as it is sent, with these header fields on top.
func (r route) wire(host string, more ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.method, r.path, host)
	_ = r.header.Write(&b) // a Builder takes all
	for _, field := range more {
		b.WriteString(field + "\r\n")
	}
	if r.body != "" || r.method != http.MethodGet {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	return b.String() + "\r\n" + r.body
}
