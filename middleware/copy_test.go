package middleware_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A copy that fails before its first byte has written no header, so that the handler can still send
// an error, as it could without Graceful.
func TestCopyThatFailsAtOnceCommitsNothing(t *testing.T) {
	for name, source := range map[string]func() io.Reader{
		"some reader": func() io.Reader { return iotest.ErrReader(errors.New("no upstream")) },
		"a file, which the kernel would copy": func() io.Reader {
			f, err := os.Open(os.DevNull)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			return io.LimitReader(f, 1<<20)
		},
	} {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if n, err := io.Copy(w, source()); n == 0 && err != nil {
				http.Error(w, "upstream failed", http.StatusBadGateway)
			}
		})
		for under, h := range map[string]http.Handler{"bare": h, "under Graceful": middleware.Graceful(&middleware.Drainer{})(h)} {
			t.Run(name+", "+under, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := serveWithoutRun(t, h)
					a := <-r.getAsync("/")
					require.NoError(t, a.err)
					assert.Equal(t, http.StatusBadGateway, a.StatusCode)
					_, _ = r.end()
				})
			})
		}
	}
}

// A copy whose source is slow doesn't keep others from the writer: ReverseProxy flushes from a
// timer while it copies.
func TestCopyFromASlowSourceHoldsUpNoFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := strings.Repeat("x", 600) // more than net/http looks at by itself
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			src, feed := io.Pipe()
			go func() {
				defer feed.Close()
				for range 3 {
					_, _ = io.WriteString(feed, part)
					time.Sleep(time.Second)
					w.(http.Flusher).Flush()
				}
			}()
			_, _ = io.Copy(w, src)
		}))
		a := <-r.getAsync("/")
		assert.NoError(t, a.err)
		assert.Equal(t, part+part+part, a.body)
		r.endsAfter(3 * time.Second)
	})
}

// The events of a stream that is copied from elsewhere have their boundaries too.
func TestFarewellWaitsForTheEndOfACopiedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			src, feed := io.Pipe()
			go func() {
				for _, part := range []string{"data: a\n", "\ndata: b\n\n"} {
					_, _ = io.WriteString(feed, part)
					time.Sleep(time.Second)
				}
				<-r.Context().Done()
				feed.Close()
			}()
			_, _ = io.Copy(struct{ http.ResponseWriter }{w}.ResponseWriter, src)
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(3 * time.Second)
		assert.Regexp(t, `^data: a\n\nretry: \d+\nevent: shutdown\ndata: .*\n\n$`, (<-got).body)
		assert.EqualValues(t, 1, report.Told)
	})
}
