package bench

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/bench/pair"
)

// tunnel is a CONNECT proxy as most are written.
func tunnel(w http.ResponseWriter, r *http.Request) {
	upstream, err := net.Dial("tcp", r.Host)
	if err != nil {
		return
	}
	defer func() { _ = upstream.Close() }()
	w.WriteHeader(http.StatusOK)
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(upstream, c)
		_ = upstream.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(c, upstream)
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	up.Wait()
}

// piece is what a tunnel moves in one operation.
const piece = 1 << 20

// tunneled is a variant that sends pieces through h, to the upstream or from it.
func tunneled(h http.Handler, up bool) pair.Variant {
	return func(tb testing.TB) func(int) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(tb, err)
		defer func() { _ = l.Close() }()
		host := l.Addr().String()
		p := dial(tb, serve(tb, h), "CONNECT "+host+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		upstream, err := l.Accept()
		require.NoError(tb, err)
		tb.Cleanup(func() { _ = upstream.Close() })
		p.header(tb, http.StatusOK)
		from, to := upstream, p.conn
		if up {
			from, to = p.conn, upstream
		}
		data, buf := make([]byte, piece), make([]byte, piece)
		return func(n int) {
			var sending sync.WaitGroup
			sending.Go(func() {
				for range n {
					_, err := from.Write(data)
					require.NoError(tb, err)
				}
			})
			for range n {
				_, err := io.ReadFull(to, buf)
				require.NoError(tb, err)
			}
			sending.Wait()
		}
	}
}

// BenchmarkTunnel measures a CONNECT proxy over loopback, whose bytes the kernel moves by itself.
func BenchmarkTunnel(b *testing.B) {
	for name, up := range map[string]bool{"up": true, "down": false} {
		b.Run(name, func(b *testing.B) {
			h := http.HandlerFunc(tunnel)
			pair.Compare(b, 20*pair.Turn, piece, tunneled(h, up), tunneled(graceful(h), up))
		})
	}
}
