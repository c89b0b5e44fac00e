package browsers

import (
	"testing"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
)

// A protocol is a version of HTTP, with TLS or without.
type protocol struct {
	name   string // as http.Request.Proto has it
	scheme string
	curl   []string // the options that make curl use it
}

var (
	http1 = protocol{"HTTP/1.1", "http", []string{"--http1.1"}}
	h2c   = protocol{"HTTP/2.0", "http", []string{"--http2-prior-knowledge"}}
	h2    = protocol{"HTTP/2.0", "https", []string{"--http2", "--insecure"}}
)

// A server serves a site in this process.
type server struct {
	protocol
	*harness.Server
}

func serve(t *testing.T, p protocol, addr string, s site) *server {
	t.Helper()
	handler, d := s.handler()
	return &server{p, harness.Serve(t, addr, p.scheme == "https", handler, d)}
}
