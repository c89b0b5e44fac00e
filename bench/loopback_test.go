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

// peers is how many connections a variant has at once: enough to keep every core busy, so that work
// is measured and not waiting.
const peers = 8

func graceful(h http.Handler) http.Handler {
	return middleware.Graceful(&middleware.Drainer{})(h)
}

// A peer is a client's connection. It sends prepared bytes and reads as many as the reply has.
type peer struct {
	conn   net.Conn
	buf    []byte // to read into; its content is not used
	prompt func() // asks for one reply
	reply  int    // its length
}

// dial connects to a server and sends it a request; the caller reads the response. The connection
// ends with the test, before the server.
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

// header reads a response's header, after which the server must not have sent anything yet.
func (p *peer) header(tb testing.TB, status int) *http.Response {
	res, err := http.ReadResponse(bufio.NewReader(p.conn), nil)
	require.NoError(tb, err)
	require.Equal(tb, status, res.StatusCode)
	return res
}

// send writes b. It and ask panic on an error, on whichever goroutine they are: there is nothing
// left to measure.
func (p *peer) send(b []byte) {
	if _, err := p.conn.Write(b); err != nil {
		panic(err)
	}
}

// ask prompts for one reply and reads it.
func (p *peer) ask() {
	p.prompt()
	for left := p.reply; left > 0; {
		n, err := p.conn.Read(p.buf[:min(left, len(p.buf))])
		if err != nil {
			panic(err)
		}
		left -= n
	}
}

// inParallel connects several peers and returns a function that lets them ask at the same time, n
// times in all.
func inParallel(connect func(i int) *peer) func(n int) {
	all := make([]*peer, peers)
	for i := range all {
		all[i] = connect(i)
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

// requests is a variant that requests the same path of h over connections that are kept alive.
func requests(h http.Handler, path string) pair.Variant {
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: bench\r\n\r\n")
	return func(tb testing.TB) func(int) {
		addr := serve(tb, h)
		return inParallel(func(int) *peer {
			p := dial(tb, addr, string(request))
			seen := &counter{Reader: p.conn}
			res, err := http.ReadResponse(bufio.NewReader(seen), nil)
			require.NoError(tb, err)
			require.Equal(tb, http.StatusOK, res.StatusCode)
			require.Positive(tb, res.ContentLength, "only a reply of known length can be counted")
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(tb, err)
			p.reply = seen.n
			p.prompt = func() { p.send(request) }
			return p
		})
	}
}

// A counter counts the bytes that are read.
type counter struct {
	io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// until reads up to the given end and returns how many bytes that took.
func (p *peer) until(tb testing.TB, end string) int {
	var got []byte
	for !bytes.HasSuffix(got, []byte(end)) {
		n, err := p.conn.Read(p.buf)
		require.NoError(tb, err)
		got = append(got, p.buf[:n]...)
	}
	return len(got)
}
