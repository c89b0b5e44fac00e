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

// counted counts the bytes that net/http hands to its connection as a file, which the connection then has the kernel
// send, rather than as bytes.
type counted struct {
	net.Listener
	fromFile *atomic.Int64
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{c.(*net.TCPConn), l.fromFile}, nil
}

type countedConn struct {
	*net.TCPConn
	fromFile *atomic.Int64
}

func (c countedConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	if limited, ok := r.(*io.LimitedReader); ok {
		r = limited.R
	}
	if _, ok := r.(*os.File); ok {
		c.fromFile.Add(n)
	}
	return n, err
}

// A file goes out by sendfile as it would without us. A wrapper that has no ReadFrom loses that.
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
			s := serveOn(t, protocols[0], c.h, func(l net.Listener) net.Listener { return counted{l, &fromFile} })
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
				assert.EqualValues(t, size-512, fromFile.Load(), "all but the first 512 bytes, which net/http wants to see")
			} else {
				assert.Zero(t, fromFile.Load())
			}
		})
	}
}
