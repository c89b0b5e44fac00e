package middleware_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// unwrapOnly is how other middleware's writers are made today: Unwrap, and no optional interface.
type unwrapOnly struct{ bare }

func (u unwrapOnly) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// withoutUnwrap is how they were made before Go 1.20: the optional interfaces that somebody thought
// of, and no Unwrap.
type withoutUnwrap struct{ bare }

func (o withoutUnwrap) Flush() { _ = http.NewResponseController(o.ResponseWriter).Flush() }
func (o withoutUnwrap) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(o.ResponseWriter).Hijack()
}

func wrapUnwrapOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(unwrapOnly{bare{w}}, r) })
}

func wrapWithoutUnwrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(withoutUnwrap{bare{w}}, r) })
}

// setEventStreamType is middleware that makes everything an event stream.
func setEventStreamType(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		next.ServeHTTP(w, r)
	})
}

// A stream whose Content-Type middleware around Graceful has set is known for one when its header
// leaves.
func TestContentTypeSetByOuterMiddleware(t *testing.T) {
	for name, c := range map[string]struct {
		flushFirst, flushThen bool
		events                int
	}{
		"flushed first":          {true, true, 1},
		"written first":          {false, true, 1},
		"too much to be held up": {false, false, 300},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}
				h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c.flushFirst {
						w.(http.Flusher).Flush()
					}
					for range c.events {
						_, _ = io.WriteString(w, "data: a\n\n")
					}
					if c.flushThen {
						w.(http.Flusher).Flush()
					}
					<-r.Context().Done()
				}))
				r := serveWrapped(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					h.ServeHTTP(w, r)
				}))
				got := r.getAsync("/")
				r.drain()
				r.endsAfter(3 * time.Second)
				a := <-got
				assert.NoError(t, a.err)
				assert.Regexp(t, fmt.Sprintf(`^(data: a\n\n){%d}retry: \d+\nevent: shutdown\n`, c.events), a.body)
			})
		})
	}
}

// A file that is copied into a stream whose Content-Type middleware around Graceful has set has its
// event boundaries too.
func TestFileCopiedIntoAStreamTypedByOuterMiddleware(t *testing.T) {
	for name, c := range map[string]struct {
		headerFirst bool
		file        string
		flush       bool
	}{
		"behind the header":            {true, "data: a\n", true},
		"first, and more than a sniff": {false, strings.Repeat("data: a\n\n", 100) + "data: a\n", true},
		"too much to be held up":       {true, strings.Repeat("data: a\n\n", 1000) + "data: a\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				name := filepath.Join(t.TempDir(), "events")
				require.NoError(t, os.WriteFile(name, []byte(c.file), 0o600))
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}
				r := serveWrapped(t, d, setEventStreamType(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c.headerFirst {
						w.WriteHeader(http.StatusOK)
					}
					f, err := os.Open(name)
					if !assert.NoError(t, err) {
						return
					}
					_, _ = io.Copy(w, f)
					_ = f.Close()
					if c.flush {
						w.(http.Flusher).Flush()
					}
					time.Sleep(time.Second)
					_, _ = io.WriteString(w, "\n")
					<-r.Context().Done()
				}))))
				got := r.getAsync("/")
				r.drain()
				report := r.endsAfter(3 * time.Second)
				a := <-got
				assert.NoError(t, a.err)
				assert.Regexp(t, `^(data: a\n\n)+retry: \d+\nevent: shutdown\n`, a.body)
				assert.EqualValues(t, 1, report.Told)
			})
		})
	}
}

// flushEachWrite is a writer that sends each Write at once, where net/http would hold it back.
type flushEachWrite struct{ http.ResponseWriter }

func (w flushEachWrite) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w flushEachWrite) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	return n, err
}

// What a writer around Graceful flushes has left when it is written, however little it is: a stream
// is known for one then, and its bytes count as activity.
func TestWritesThatOuterMiddlewareFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 3 {
				time.Sleep(time.Second)
				_, _ = io.WriteString(w, "data: a\n\n")
				assert.Zero(t, stream.From(r.Context()).Idle())
			}
			<-r.Context().Done()
		}))
		r := serveWrapped(t, d, setEventStreamType(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(flushEachWrite{w}, r)
		})))
		got := r.getAsync("/")
		time.Sleep(4 * time.Second)
		r.drain()
		report := r.endsAfter(3 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Regexp(t, `^(data: a\n\n){3}retry: \d+\nevent: shutdown\n`, a.body)
		assert.EqualValues(t, 1, report.Told)
	})
}

// A short body is complete by the Content-Length that middleware around Graceful has set, though
// its header has not left when the drain cancels it.
func TestContentLengthSetByOuterMiddleware(t *testing.T) {
	for length, outcome := range map[string]func(middleware.Report) uint64{"3": canceled, "4": wasCut} {
		t.Run(length, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Grace: 2 * time.Second}}
				h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, "all")
					<-r.Context().Done()
				}))
				r := serveWrapped(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", length)
					h.ServeHTTP(w, r)
				}))
				got := r.getAsync("/")
				r.drain()
				report := r.endsAfter(2 * time.Second)
				a := <-got
				assert.Equal(t, length != "3", a.err != nil, "%v", a.err)
				assert.EqualValues(t, 1, outcome(report), "%+v", report)
			})
		})
	}
}

// compress is like gorilla/handlers' CompressHandler, which sets Content-Encoding before the
// handler has said what the body is.
func compress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zipped := gzip.NewWriter(w)
		defer func() { _ = zipped.Close() }()
		next.ServeHTTP(writingTo{w, zipped}, r)
	})
}

type writingTo struct {
	http.ResponseWriter
	to io.Writer
}

func (w writingTo) Write(p []byte) (int, error) { return w.to.Write(p) }

// What the drain answers in a handler's place can be read behind middleware that compresses it.
func TestDrainsOwnAnswersBehindACompressor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: 5 * time.Second}}
		r := serveWrapped(t, d, compress(middleware.Graceful(d)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}))))
		canceled := r.getAsyncWith("/")
		r.drain()
		for accept, want := range map[string]string{
			"*/*": "the server is shutting down; please retry\n", "text/event-stream": "retry: ",
		} {
			body, err := io.ReadAll(r.get("/late", "Accept", accept, "Cache-Control", "no-cache", "User-Agent", "EventSource").Body) // the client decodes it
			require.NoError(t, err)
			assert.Contains(t, string(body), want)
		}
		r.endsAfter(5 * time.Second)
		a := <-canceled
		assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		assert.Equal(t, "the server is shutting down; please retry\n", a.body)
	})
}
