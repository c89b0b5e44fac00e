package main

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// dialWithin is how long a connection may take, its handshakes included.
	dialWithin = 5 * time.Second
	// sendWithin is how long the server has to read what a client sends.
	sendWithin = 10 * time.Second
	// mostHeader is the size of the longest header that a client reads.
	mostHeader = 1 << 20
)

// port returns the server's TCP port.
func (j *judge) port() string {
	switch {
	case j.url.Port() != "":
		return j.url.Port()
	case j.isTLS():
		return "443"
	}
	return "80"
}

func (j *judge) isTLS() bool { return j.url.Scheme == "https" }

// dial opens a connection to the server, without TLS.
func (j *judge) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: dialWithin}
	return d.DialContext(ctx, "tcp", net.JoinHostPort(j.url.Hostname(), j.port()))
}

// dialHTTP1 opens a connection for HTTP/1.1, with TLS if the URL says so.
func (j *judge) dialHTTP1(ctx context.Context) (*conn, error) {
	c, err := j.dial(ctx)
	if err != nil {
		return nil, err
	}
	if j.isTLS() {
		ctx, cancel := context.WithTimeout(ctx, dialWithin)
		defer cancel()
		t := tls.Client(c, j.tls())
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		c = t
	}
	limited := &conn{Conn: c}
	limited.left.Store(mostHeader)
	return limited, nil
}

func (j *judge) tls() *tls.Config {
	return &tls.Config{ServerName: j.url.Hostname(), InsecureSkipVerify: j.insecure}
}

// A conn is read up to mostHeader bytes, until its answer's header has come.
type conn struct {
	net.Conn
	left atomic.Int64
}

var errLongHeader = errors.New("the answer's header has no end in its first MiB")

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.left.Add(-int64(n)) < 0 {
		return 0, errLongHeader
	}
	return n, err
}

// headerHasCome lifts the limit.
func (c *conn) headerHasCome() { c.left.Store(math.MaxInt64) }

// transport returns one for a single request, over a connection of its own.
func (j *judge) transport(r *route) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!r.http2)
	protocols.SetHTTP2(r.http2)
	protocols.SetUnencryptedHTTP2(r.http2)
	return &http.Transport{
		DisableCompression:     true,
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return j.dial(ctx) },
		TLSClientConfig:        j.tls(),
		TLSHandshakeTimeout:    dialWithin,
		Protocols:              protocols,
		MaxResponseHeaderBytes: mostHeader,
	}
}
