package bench

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/bench/pair"
	"github.com/lastcall-go/lastcall/middleware"
)

var body = []byte("hello, world\n")

// hello does the least that a finite handler does.
var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write(body)
})

// twice wraps h in two Gracefuls of one Drainer, as a server has it that wraps both its router and
// a route.
func twice(h http.Handler) http.Handler {
	wrap := middleware.Graceful(&middleware.Drainer{})
	return wrap(wrap(h))
}

// usual tracks requests as applications do without a library: each has a context that a shutdown
// can cancel, in a map under a mutex.
func usual(h http.Handler) http.Handler {
	var mu sync.Mutex
	running := map[*http.Request]context.CancelFunc{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		r = r.WithContext(ctx)
		mu.Lock()
		running[r] = cancel
		mu.Unlock()
		defer func() {
			mu.Lock()
			delete(running, r)
			mu.Unlock()
			cancel()
		}()
		h.ServeHTTP(w, r)
	})
}

// request returns one whose context can be canceled, as net/http's requests have it.
func request(tb testing.TB) *http.Request {
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	return httptest.NewRequestWithContext(ctx, http.MethodGet, "/hello", nil)
}

// An http1Writer has the optional interfaces of net/http's HTTP/1 writer and does almost nothing.
type http1Writer struct {
	header http.Header
	conn   net.Conn // returned by Hijack
}

func newWriter() *http1Writer { return &http1Writer{header: http.Header{}} }

func (w *http1Writer) Header() http.Header                   { return w.header }
func (w *http1Writer) WriteHeader(int)                       {}
func (w *http1Writer) Write(p []byte) (int, error)           { return len(p), nil }
func (w *http1Writer) WriteString(s string) (int, error)     { return len(s), nil }
func (w *http1Writer) ReadFrom(src io.Reader) (int64, error) { return io.Copy(io.Discard, src) }
func (w *http1Writer) Flush()                                {}
func (w *http1Writer) FlushError() error                     { return nil }
func (w *http1Writer) CloseNotify() <-chan bool              { return nil }
func (w *http1Writer) SetReadDeadline(time.Time) error       { return nil }
func (w *http1Writer) SetWriteDeadline(time.Time) error      { return nil }
func (w *http1Writer) EnableFullDuplex() error               { return nil }
func (w *http1Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// BenchmarkHandler measures the handler's call alone, without a server.
func BenchmarkHandler(b *testing.B) {
	for _, variant := range []struct {
		name string
		wrap func(http.Handler) http.Handler
	}{
		{"bare", func(h http.Handler) http.Handler { return h }},
		{"once", graceful},
		{"twice", twice},
		{"usual", usual},
	} {
		b.Run(variant.name, func(b *testing.B) {
			h, w, r := variant.wrap(hello), newWriter(), request(b)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
		b.Run(variant.name+"/parallel", func(b *testing.B) {
			h := variant.wrap(hello)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				w, r := newWriter(), request(b)
				for pb.Next() {
					h.ServeHTTP(w, r)
				}
			})
		})
	}
	// Here usual is the bare side: a ratio over 1 is what it costs more than Graceful. With json
	// the handler's own cost is on both sides.
	b.Run("usual-over-once", func(b *testing.B) {
		pair.Compare(b, pair.Turn, 0, calls(usual(hello)), calls(graceful(hello)))
	})
	b.Run("usual-over-once-json", func(b *testing.B) {
		pair.Compare(b, pair.Turn, 0, calls(usual(typed)), calls(graceful(typed)))
	})
}

// calls is a variant that calls h without a server.
func calls(h http.Handler) pair.Variant {
	return func(tb testing.TB) func(int) {
		w, r := newWriter(), request(tb)
		return func(n int) {
			for range n {
				h.ServeHTTP(w, r)
			}
		}
	}
}

// BenchmarkRequest measures a finite request over loopback on a connection that is kept alive.
func BenchmarkRequest(b *testing.B) {
	// net/http copies the header of each response whose Header method was called. hello doesn't
	// call it, and Graceful must not do so either.
	b.Run("hello", func(b *testing.B) {
		pair.Compare(b, pair.Turn, len(body), requests(hello, "/"), requests(graceful(hello), "/"))
	})
	b.Run("json", func(b *testing.B) {
		pair.Compare(b, pair.Turn, len(document), requests(typed, "/"), requests(graceful(typed), "/"))
	})
	// json/copied measures copying the request, which every middleware does that sets a context;
	// json/bare measures how far off the comparison itself is.
	b.Run("json/copied", func(b *testing.B) {
		pair.Compare(b, pair.Turn, len(document), requests(typed, "/"), requests(copied(typed), "/"))
	})
	b.Run("json/bare", func(b *testing.B) {
		pair.Compare(b, pair.Turn, len(document), requests(typed, "/"), requests(typed, "/"))
	})
}

// copied wraps h in the least that a middleware does which sets a context.
func copied(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(r.Context()))
	})
}

var document = []byte(`{"text":"` + strings.Repeat("x", 1<<10) + `"}`)

// typed sets a Content-Type, as most handlers do.
var typed = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(document)
})

// BenchmarkFile measures a static file, which the kernel copies (sendfile).
func BenchmarkFile(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			dir := b.TempDir()
			require.NoError(b, os.WriteFile(filepath.Join(dir, "file"), []byte(strings.Repeat("x", size.bytes)), 0o600))
			files := http.FileServer(http.Dir(dir))
			pair.Compare(b, pair.Turn, size.bytes, requests(files, "/file"), requests(graceful(files), "/file"))
		})
	}
}

var sizes = []struct {
	name  string
	bytes int
}{{"64B", 64}, {"4KiB", 4 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}}
