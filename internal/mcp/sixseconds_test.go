package mcp

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCallOfSixSeconds stops a server 0.8 s into a call of 6 s, with the default budget and a
// standing stream of the same client: without any rule over streamable HTTP, with Calls over each
// transport.
func TestCallOfSixSeconds(t *testing.T) {
	for _, c := range cells {
		t.Run(c.name, func(t *testing.T) {
			for name, rule := range map[string]setup{"without a rule": withoutRule, "with Calls": withRule} {
				if name == "without a rule" && c.old() {
					continue // its results come over the standing stream
				}
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { c.sixSeconds(t, rule) })
				})
			}
		})
	}
}

func (c cell) sixSeconds(t *testing.T, rule setup) {
	s := newSite(t, 1, rule, c.serve)
	s.sticky = false
	a := c.app(s)
	defer a.close()
	first, err := a.connect(t.Context(), standing)
	require.NoError(t, err)
	synctest.Wait()

	type result struct {
		got string
		err error
	}
	done := make(chan result, 1)
	go func() {
		got, err := first.call(t.Context(), task{Token: "six", MS: 6000})
		done <- result{got, err}
	}()
	time.Sleep(800 * time.Millisecond)
	s.stopOld()
	<-s.old.done
	took := time.Since(s.stopped)
	require.Equal(t, result{"six", nil}, <-done)
	require.NoError(t, s.old.err)
	require.GreaterOrEqual(t, took, 5200*time.Millisecond)
	require.Less(t, took, 6*time.Second, "the drain ends with the call, and with the farewell that waited for it")

	report := s.old.drainer.Report()
	require.EqualValues(t, 1, report.Told, "the standing stream")
	require.Zero(t, report.Cut+report.Canceled+report.Broken)
	streams := s.standing()
	end := streams[0].body.end()
	if !end.closed { // as mcp-go does when it has the result
		require.ErrorIs(t, end.err, io.EOF)
	}
	require.NotZero(t, end.retry)
	require.False(t, end.shutdown, "an event that is none of the protocol's")
	time.Sleep(end.retry + time.Second)
	synctest.Wait()
	switch {
	case c.back != nil:
		streams := s.standing() // mcp-go's client comes to a session that isn't there, and then in a new one
		require.GreaterOrEqual(t, len(streams), 2, "the client is back")
		require.Same(t, s.next, streams[len(streams)-1].server)
	case c.never: // it never subscribes again, but its session goes on
		got, err := first.call(t.Context(), task{Token: "next"})
		require.NoError(t, err)
		require.Equal(t, "next", got)
	case strings.HasSuffix(c.name, "Ends"): // after which the application connects again
		require.Equal(t, end.retry, first.over())
	case c.listen:
		require.Len(t, s.standing(), 2, "the application has subscribed again")
	}
}

// standing returns the standing streams that were asked for.
func (s *site) standing() (standing []*exchange) {
	for _, x := range s.exchanges() {
		if x.standing && x.status != http.StatusMethodNotAllowed {
			standing = append(standing, x)
		}
	}
	return standing
}
