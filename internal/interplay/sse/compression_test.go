package sse

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/klauspost/compress/gzhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	lastcall "github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

var compressors = []struct {
	name string
	wrap wrap
}{
	{"gzhttp", func(h http.Handler) http.Handler { return gzhttp.GzipHandler(h) }},
	{"chi's Compress", middleware.Compress(5, "text/event-stream")},
}

// What is compressed inside of us is opaque, and only ended in order. From outside of us the farewell is compressed like
// all else.
func TestCompressedStream(t *testing.T) {
	rounds := number(t, "LASTCALL_ROUNDS", 2)
	for _, l := range libraries {
		for _, c := range compressors {
			if l.name == "go-sse" && c.name == "chi's Compress" {
				// go-sse begins with a Flush, behind which chi compresses but can't say so any more. No client reads that.
				continue
			}
			for _, outside := range []bool{false, true} {
				for _, p := range protocols {
					t.Run(fmt.Sprintf("%s/%s/outside %v/%s", l.name, c.name, outside, p.name), func(t *testing.T) {
						t.Parallel()
						for seed := uint64(1); seed <= uint64(rounds) && !t.Failed(); seed++ {
							d := &lastcall.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Mercy: patience / 2}}
							src := l.begin(t)
							h := lastcall.Graceful(d)(c.wrap(src))
							if outside {
								h = c.wrap(lastcall.Graceful(d)(src))
							}
							s := serve(t, p, h)
							stop := src.publishing(seed)
							drainCompressed(t, d, s, int(seed%40), outside)
							stop()
							s.close()
							src.close()
						}
					})
				}
			}
		}
	}
}

func drainCompressed(t *testing.T, d *lastcall.Drainer, s *site, after int, outside bool) {
	res, err := s.get("Accept-Encoding", "gzip")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))

	m := &moment{now: make(chan struct{}), events: after + 1}
	over := make(chan struct{})
	var e ending
	go func() {
		defer close(over)
		defer m.note(0, 1000)
		plain, err := gzip.NewReader(res.Body)
		if !assert.NoError(t, err) {
			return
		}
		e, err = follow(plain, func() { m.note(0, 1) })
		assert.NoError(t, err, "whole events, and the compressor's own end with its checksum")
		n, err := io.Copy(io.Discard, res.Body)
		assert.NoError(t, err, "a clean end")
		assert.Zero(t, n, "bytes behind the compressed stream")
	}()
	m.wait(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, d.Shutdown(ctx))
	<-over

	report := d.Report()
	assert.Equal(t, outside, e.told)
	if outside {
		assert.EqualValues(t, 1, report.Told, "%+v", report)
		assert.Equal(t, 1, report.Found.SSE)
	} else {
		assert.EqualValues(t, 1, report.Cancelled, "%+v", report)
		assert.Equal(t, 1, report.Found.Other)
	}
}

// http.TimeoutHandler lets no stream through, with us as without, whichever is outside. What waits within is finite, and
// answers its cancelled context by itself.
func TestTimeoutHandler(t *testing.T) {
	timeout := func(h http.Handler) http.Handler { return http.TimeoutHandler(h, 100*time.Millisecond, "too late") }
	for _, l := range libraries {
		if l.name == "by hand" { // which writes something else each time
			continue
		}
		for _, p := range protocols {
			t.Run(fmt.Sprintf("%s/%s", l.name, p.name), func(t *testing.T) {
				t.Parallel()
				d := new(lastcall.Drainer)
				graceful := lastcall.Graceful(d)
				src := l.begin(t)
				ask := func(h http.Handler) string {
					s := serve(t, p, h)
					defer s.close()
					res, err := s.get()
					if err != nil { // a handler that panics, as one does without a Flusher
						return "no answer"
					}
					defer res.Body.Close()
					body, err := io.ReadAll(res.Body)
					return fmt.Sprint(res.StatusCode, res.Header["Content-Type"], string(body), err)
				}
				bare := ask(timeout(src))
				assert.Equal(t, bare, ask(timeout(graceful(src))), "inside of TimeoutHandler")
				assert.Equal(t, bare, ask(graceful(timeout(src))), "around TimeoutHandler")
				assert.EqualValues(t, 2, d.Report().Before.All())
				src.close()
			})
		}
	}
}

func TestTimeoutHandlerAnswersItsContext(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			d := &lastcall.Drainer{Policy: policy.Rule{Grace: time.Millisecond, Mercy: patience / 2}}
			asked := make(chan struct{})
			waits := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(asked)
				<-r.Context().Done()
			})
			s := serve(t, p, lastcall.Graceful(d)(http.TimeoutHandler(waits, time.Hour, "too late")))
			status := make(chan int, 1)
			go func() {
				res, err := s.get()
				if !assert.NoError(t, err) {
					status <- 0
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				assert.NoError(t, err)
				res.Body.Close()
				status <- res.StatusCode
			}()
			<-asked
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			require.NoError(t, d.Shutdown(ctx))
			assert.Equal(t, http.StatusServiceUnavailable, <-status)
			assert.EqualValues(t, 1, d.Report().Cancelled)
			s.close()
		})
	}
}
