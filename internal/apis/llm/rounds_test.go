package llm

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/apis/rig"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// calls is how many calls a round has, and during is the time in which they and the drain begin.
const (
	calls  = 4
	during = 80 * time.Millisecond
)

// soon is a rule by which clients come back soon. It says nothing of what is drained how.
var soon = policy.Rule{Reconnect: policy.Window{Min: time.Millisecond, Max: 100 * time.Millisecond}}

// A client calls an API with the question, by way of t, and returns the answer.
type client func(ctx context.Context, url, question string, t http.RoundTripper) (answer string, err error)

// rounds has clients call while the server drains. What their library does about a late call is
// theirs: their client asks again.
func rounds(t *testing.T, ask client) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2 ", h2), func(t *testing.T) {
			t.Parallel()
			roundsOver(t, h2, ask)
		})
	}
}

func roundsOver(t *testing.T, h2 bool, ask client) {
	var refused, lost, answered atomic.Int64
	rig.Rounds(t, func(r *rig.Round) { roundOf(r, ask, h2, &refused, &lost, &answered) })
	t.Logf("%d answers, %d refusals, and %d more that were lost", answered.Load(), refused.Load(), lost.Load())
	assert.LessOrEqual(t, lost.Load(), 1+refused.Load()/20)
}

func roundOf(r *rig.Round, ask client, h2 bool, allRefused, allLost, allAnswered *atomic.Int64) {
	m := newModel(r)
	first, h := m.server("first")
	a := rig.Serve(r, r.Host+":0", &middleware.Drainer{Policy: soon}, h)
	ctx, cancel := context.WithTimeout(context.Background(), rig.Limit)
	defer cancel()

	counted := &counter{inner: rig.Transport(r, h2)}
	var clients sync.WaitGroup
	for i := range calls {
		call, begins := fmt.Sprint("c", i), r.Moment(during)
		clients.Go(func() {
			rig.Pause(begins, nil)
			answer, err := ask(ctx, "http://"+a.Addr, "call-"+call+"-", counted)
			assert.NoError(r, err, call)
			assert.Equal(r, []string{answer}, m.answers(call), "%s: what was produced for it is what it got", call)
		})
	}
	r.AwaitSome(first.began, during)
	report := a.Drain(r)

	second, h := m.server("second")
	b := rig.Serve(r, a.Addr, &middleware.Drainer{Policy: soon}, h)
	clients.Wait()
	assert.EqualValues(r, first.arrived.Load(), report.Completed+report.Before.Completed, "%+v", report)
	// A refusal may be lost with its connection: of HTTP/2 it is closed behind it, and of HTTP/1.1
	// net/http may close it as idle while the request comes.
	assert.LessOrEqual(r, uint64(counted.refused.Load()), report.Refused, "%+v", report)
	if !h2 && counted.used.Load() {
		allLost.Add(int64(report.Refused) - counted.refused.Load())
	}
	assert.Zero(r, report.Canceled+report.Cut+report.Told, "%+v", report)
	assert.EqualValues(r, calls, first.arrived.Load()+second.arrived.Load(), "each call was answered once")
	after := b.Drain(r)
	assert.EqualValues(r, second.arrived.Load(), after.Completed+after.Before.Completed)
	allRefused.Add(int64(report.Refused))
	allAnswered.Add(calls)
}

// A counter counts the refusals that a client gets.
type counter struct {
	inner   http.RoundTripper
	used    atomic.Bool
	refused atomic.Int64
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.used.Store(true)
	res, err := c.inner.RoundTrip(r)
	if err == nil && res.StatusCode == http.StatusServiceUnavailable {
		c.refused.Add(1)
		if res.Header.Get("Retry-After") == "" {
			return nil, fmt.Errorf("a refusal without Retry-After")
		}
	}
	return res, err
}

// again calls f until it succeeds, for a library that doesn't repeat a call by itself.
func again(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || !rig.Pause(50*time.Millisecond, ctx.Done()) {
			return err
		}
	}
}
