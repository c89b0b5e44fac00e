package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ask calls h and returns what it wrote and how long it took, which is exact in a synctest bubble.
func ask(ctx context.Context, h http.HandlerFunc, target string) (*httptest.ResponseRecorder, time.Duration) {
	w, began := httptest.NewRecorder(), time.Now()
	h(w, httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil))
	return w, time.Since(began)
}

func TestAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, took := ask(t.Context(), answer, "/answer")
		assert.Equal(t, 50*100*time.Millisecond, took)
		assert.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
		events := strings.Split(strings.TrimSuffix(w.Body.String(), "\n\n"), "\n\n")
		require.Len(t, events, 51)
		assert.Equal(t, `data: {"token":"A "}`, events[0])
		assert.Equal(t, `data: {"token":"lights. "}`, events[49], "the default is a whole speech")
		assert.Equal(t, "event: done\ndata: {\"tokens\":50}", events[50])
		assert.True(t, w.Flushed)
	})
}

func TestAnswerWithParameters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, took := ask(t.Context(), answer, "/answer?tokens=120&delay=1s")
		assert.Equal(t, 2*time.Minute, took)
		assert.Equal(t, 120, strings.Count(w.Body.String(), `{"token":`))
		assert.True(t, strings.HasSuffix(w.Body.String(), "event: done\ndata: {\"tokens\":120}\n\n"))
	})
}

func TestAnswerThatIsCanceledIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		w, took := ask(ctx, answer, "/answer")
		assert.Equal(t, 250*time.Millisecond, took)
		assert.Equal(t, 2, strings.Count(w.Body.String(), `{"token":`))
		assert.NotContains(t, w.Body.String(), "done")
	})
}

func TestDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, took := ask(t.Context(), download, "/download?bytes=1000000&rate=250000")
		assert.InDelta(t, 4, took.Seconds(), 0.1)
		assert.Equal(t, "1000000", w.Header().Get("Content-Length"))
		want := make([]byte, 1_000_000)
		fill(want, 0)
		assert.Equal(t, want, w.Body.Bytes())
		assert.True(t, w.Flushed)

		w, took = ask(t.Context(), download, "/download?bytes=5000&rate=1000&chunked=1")
		assert.InDelta(t, 5, took.Seconds(), 0.1)
		assert.Empty(t, w.Header().Get("Content-Length"))
		assert.Equal(t, 5000, w.Body.Len())

		w, _ = ask(t.Context(), download, "/download?bytes=0")
		assert.Equal(t, "0", w.Header().Get("Content-Length"))
		assert.Zero(t, w.Body.Len())

		w, took = ask(t.Context(), download, "/download")
		assert.InDelta(t, 10, took.Seconds(), 0.1)
		assert.Equal(t, 10485760, w.Body.Len())
	})
}

func TestDownloadKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		w, took := ask(ctx, download, "/download?bytes=1000000&rate=100000")
		assert.Equal(t, 2*time.Second, took)
		assert.InDelta(t, 200_000, w.Body.Len(), 10_000)
	})
}

func TestPatternShowsDisplacedBytes(t *testing.T) {
	at := func(offset int64) []byte {
		p := make([]byte, 64)
		fill(p, offset)
		return p
	}
	for _, offset := range []int64{0, 1000, 1 << 15, 1<<16 - 1, 1 << 24} {
		for _, shift := range []int64{1, 64, 255, 256, 1460, 4096, 1 << 15, 1 << 16, 1 << 20} {
			assert.NotEqual(t, at(offset), at(offset+shift), "bytes from %d taken for those from %d", offset+shift, offset)
		}
	}
	assert.Equal(t, at(100)[10:], at(110)[:54], "the pattern depends on the place alone")
}

func TestBadParameters(t *testing.T) {
	room := newChat(newHistory(quiet))
	for _, c := range []struct {
		handler http.HandlerFunc
		query   string
		wrong   string
	}{
		{answer, "tokens=0", `tokens="0": use a whole number from 1 to 100000`},
		{answer, "tokens=ten", `tokens="ten"`},
		{answer, "tokens=", `tokens=""`},
		{answer, "tokens=99999999999999999999", `tokens="9`},
		{answer, "delay=-1s", `delay="-1s": use a time from 0s to 1m0s`},
		{answer, "delay=5", `delay="5"`},
		{download, "bytes=-1", `bytes="-1": use a whole number from 0 to 68719476736`},
		{download, "rate=0", `rate="0": use a whole number from 1 to 4294967296`},
		{download, "chunked=yes", `chunked="yes": use a whole number from 0 to 1`},
		{download, "rate=0&bytes=-1", `bytes="-1"`},
		{download, "bytes=%zz", "invalid URL escape"},
		{room.poll, "wait=1h", `wait="1h": use a time from 0s to 5m0s`},
	} {
		w := httptest.NewRecorder()
		c.handler(w, &http.Request{Method: http.MethodGet, URL: &url.URL{RawQuery: c.query}})
		assert.Equal(t, http.StatusBadRequest, w.Code, c.query)
		assert.Contains(t, w.Body.String(), c.wrong)
		assert.Equal(t, 1, strings.Count(w.Body.String(), "\n"), c.query)
	}
}
