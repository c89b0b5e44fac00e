package sse

import (
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
)

// A countingListener counts the bytes that net/http gives to a connection as a file, which the
// kernel then sends (sendfile), and not as bytes.
type countingListener struct {
	net.Listener
	fromFile *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c.(*net.TCPConn), l.fromFile}, nil
}

type countingConn struct {
	*net.TCPConn
	fromFile *atomic.Int64
}

func (c countingConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	if limited, ok := r.(*io.LimitedReader); ok {
		r = limited.R
	}
	if _, ok := r.(*os.File); ok {
		c.fromFile.Add(n)
	}
	return n, err
}

// TestSendfile serves a file, which the kernel has to send as it would without lastcall. A wrapper
// without ReadFrom prevents that.
func TestSendfile(t *testing.T) {
	const size = 3 << 20
	content := strings.Repeat("lastcall", size/8)
	path := filepath.Join(t.TempDir(), "file.bin")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	file := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
	for name, c := range map[string]struct {
		h        http.Handler
		byKernel bool
	}{
		"bare":    {file, true},
		"wrapped": {middleware.Graceful(new(middleware.Drainer))(file), true},
		"twice":   {middleware.Graceful(new(middleware.Drainer))(middleware.Graceful(new(middleware.Drainer))(file)), true},
		"a plain wrapper": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			file(struct{ http.ResponseWriter }{w}, r)
		}), false},
	} {
		t.Run(name, func(t *testing.T) {
			var fromFile atomic.Int64
			s := serveOn(t, protocols[0], c.h, func(l net.Listener) net.Listener { return countingListener{l, &fromFile} })
			res, err := s.get()
			require.NoError(t, err)
			defer res.Body.Close()
			sum := sha256.New()
			n, err := io.Copy(sum, res.Body)
			require.NoError(t, err)
			assert.EqualValues(t, size, n)
			assert.Equal(t, sha256.Sum256([]byte(content)), [32]byte(sum.Sum(nil)))
			s.close()
			if c.byKernel {
				assert.EqualValues(t, size-512, fromFile.Load(), "all but the first 512 bytes, which net/http looks at")
			} else {
				assert.Zero(t, fromFile.Load())
			}
		})
	}
}
