package sse

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/klauspost/compress/gzhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
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

// TestCompression drains event streams with a compressor inside of Graceful or around it. What is
// compressed inside can't be read, so that no farewell is written and the stream only ends in
// order. From outside, the farewell is compressed like all else.
func TestCompression(t *testing.T) {
	rounds := harness.Int(t, "LASTCALL_ROUNDS", 2)
	for _, l := range libraries {
		for _, c := range compressors {
			if l.name == "go-sse" && c.name == "chi's Compress" {
				// go-sse flushes first. After that chi compresses, but can't set Content-Encoding
				// any more, which no client can read.
				continue
			}
			for _, outside := range []bool{false, true} {
				for _, p := range protocols {
					t.Run(fmt.Sprintf("%s/%s/outside %v/%s", l.name, c.name, outside, p.name), func(t *testing.T) {
						t.Parallel()
						for seed := uint64(1); seed <= uint64(rounds) && !t.Failed(); seed++ {
							d := &lastcall.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Mercy: mercy}}
							src := l.start(t)
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

func drainCompressed(t *testing.T, d *lastcall.Drainer, s *server, after int, outside bool) {
	res, err := s.get("Accept-Encoding", "gzip")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))

	m := newCountdown(0, after+1)
	over := make(chan struct{})
	var e ending
	go func() {
		defer close(over)
		defer m.stop()
		plain, err := gzip.NewReader(res.Body)
		if !assert.NoError(t, err) {
			return
		}
		e, err = readStream(plain, func() { m.count(0, 1) })
		assert.NoError(t, err, "whole events, and the compressor's own end with its checksum")
		n, err := io.Copy(io.Discard, res.Body)
		assert.NoError(t, err, "a clean end")
		assert.Zero(t, n, "bytes after the compressed stream")
	}()
	m.wait(t)
	report := harness.Shutdown(t, d)
	<-over

	assert.Equal(t, outside, e.told)
	if outside {
		assert.EqualValues(t, 1, report.Told, "%+v", report)
		assert.Equal(t, 1, report.Found.SSE)
	} else {
		assert.EqualValues(t, 1, report.Canceled, "%+v", report)
		assert.Equal(t, 1, report.Found.Other)
	}
}
