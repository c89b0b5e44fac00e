package bench

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/bench/pair"
	"github.com/lastcall-go/lastcall/middleware"
)

// peers is how many connections a way has at once: enough to keep every core
// at work, so that what is measured is work and not waiting.
const peers = 8

func graceful(h http.Handler) http.Handler {
	return middleware.Graceful(&middleware.Drainer{})(h)
}

// A peer is a client's connection. It sends what it was prepared to send and
// reads as many bytes as the answer has.
type peer struct {
	conn   net.Conn
	buf    []byte // to read into; nobody looks at it
	prompt func() // asks for one answer
	answer int    // its length
}

// dial connects to a server that runs h and sends it a request; the caller reads
// the answer. Both end with the test, the connection first.
func dial(tb testing.TB, addr, request string) *peer {
	conn, err := net.Dial("tcp", addr)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	p := &peer{conn: conn, buf: make([]byte, 64<<10)}
	p.send([]byte(request))
	return p
}

// serve runs h on a loopback port until the test ends.
func serve(tb testing.TB, h http.Handler) (addr string) {
	srv := httptest.NewServer(h)
	tb.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// header reads a response's header and tells how much of the stream that was.
// Nothing may follow it yet.
func (p *peer) header(tb testing.TB, status int) *http.Response {
	res, err := http.ReadResponse(bufio.NewReader(p.conn), nil)
	require.NoError(tb, err)
	require.Equal(tb, status, res.StatusCode)
	return res
}

// A client that can't go on has nothing to measure: it panics, on whichever
// goroutine it is.

func (p *peer) send(b []byte) {
	if _, err := p.conn.Write(b); err != nil {
		panic(err)
	}
}

func (p *peer) ask() {
	p.prompt()
	for left := p.answer; left > 0; {
		n, err := p.conn.Read(p.buf[:min(left, len(p.buf))])
		if err != nil {
			panic(err)
		}
		left -= n
	}
}

// crowd is several peers that ask at the same time.
func crowd(join func(i int) *peer) func(n int) {
	all := make([]*peer, peers)
	for i := range all {
		all[i] = join(i)
	}
	return func(n int) {
		var asking sync.WaitGroup
		for i, p := range all {
			share := n / peers
			if i < n%peers {
				share++
			}
			asking.Go(func() {
				for range share {
					p.ask()
				}
			})
		}
		asking.Wait()
	}
}

// requests is a way that asks h for the same thing again and again over
// connections that are kept alive.
func requests(h http.Handler, path string) pair.Way {
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: bench\r\n\r\n")
	return func(tb testing.TB) func(int) {
		addr := serve(tb, h)
		return crowd(func(int) *peer {
			p := dial(tb, addr, string(request))
			seen := &counter{Reader: p.conn}
			res, err := http.ReadResponse(bufio.NewReader(seen), nil)
			require.NoError(tb, err)
			require.Equal(tb, http.StatusOK, res.StatusCode)
			require.Positive(tb, res.ContentLength, "only an answer of known length can be counted")
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(tb, err)
			p.answer = seen.n
			p.prompt = func() { p.send(request) }
			return p
		})
	}
}

type counter struct {
	io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// until reads to the given end and returns how far that was.
func (p *peer) until(tb testing.TB, end string) int {
	var got []byte
	for !bytes.HasSuffix(got, []byte(end)) {
		n, err := p.conn.Read(p.buf)
		require.NoError(tb, err)
		got = append(got, p.buf[:n]...)
	}
	return len(got)
}
