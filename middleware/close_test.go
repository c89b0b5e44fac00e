package middleware_test

import (
	"bufio"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Close, as by a second signal, ends the announcement and cuts at once.
func TestCloseCutsShortTheAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Announce: 10 * time.Second}}
		r := serve(t, d, ticks(nil))
		res := r.get("/")
		r.drain()
		time.Sleep(time.Second)
		assert.NoError(t, d.Close())
		_, err := io.ReadAll(res.Body)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		report := r.endsAfter(time.Second)
		assert.EqualValues(t, 1, report.Cut)
	})
}

// Later calls of Close find nothing more to cut, and don't put off the end of the drain.
func TestRepeatedCloseDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		deaf := make(chan struct{})
		r := serve(t, d, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-deaf }))
		got := r.getAsync("/")
		r.drain()
		for range 3 {
			go func() { _ = d.Close() }()
			time.Sleep(400 * time.Millisecond)
		}
		var incomplete *middleware.IncompleteError
		require.ErrorAs(t, <-r.ran, &incomplete)
		assert.Equal(t, time.Second, d.Report().Took)
		close(deaf)
		<-got
		r.ran <- nil
		_, _ = r.end()
	})
}

// Close doesn't wait for a farewell that its peer holds up, though the handler has returned and
// can't be freed any more.
func TestCloseFreesAStuckFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quit := make(chan struct{})
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 10 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-quit
		}))
		c := r.stuck("/")
		defer c.Close()
		_, err := http.ReadResponse(bufio.NewReader(c), nil) // the header, and not a byte more
		require.NoError(t, err)
		r.drain()
		time.Sleep(time.Second) // the farewell is on its way
		close(quit)
		synctest.Wait()
		assert.NoError(t, r.d.Close())
		assert.Equal(t, time.Second, r.since())
		_, err = r.end()
		assert.NoError(t, err)
		assert.EqualValues(t, 1, r.d.Report().Cut)
	})
}
