package draintest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// lookEvery is how often a drain looks for handlers that have not returned.
const lookEvery = 50 * time.Millisecond

// calls are those of a server's handler that have not ended, or that its drain has met.
type calls struct {
	keepAll bool // also those that have ended otherwise

	mu   sync.Mutex // guards following, and the calls' fields
	last int        // the number of the last one
	kept []*call
}

// A call is one of the handler.
type call struct {
	number   int
	response *tracked.Response
	returned time.Time     // zero: it has not
	seen     goroutine     // where it was when it was last looked at, since its context was canceled; the zero one: it wasn't
	seenAge  time.Duration // the response's age then
}

// follow returns h with its calls entered into c. The goroutines of a call have its number and l.
func (c *calls) follow(l label, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := c.begin(tracked.From(r.Context()))
		defer c.end(call)
		ctx := pprof.WithLabels(context.Background(), pprof.Labels(serverLabel, string(l), callLabel, strconv.Itoa(call.number)))
		pprof.SetGoroutineLabels(ctx)
		defer pprof.SetGoroutineLabels(l.context())
		h.ServeHTTP(w, r)
	})
}

func (c *calls) begin(r *tracked.Response) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	added := &call{number: c.last, response: r}
	c.kept = append(c.kept, added)
	return added
}

func (c *calls) end(ended *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ended.returned = time.Now(); c.keepAll {
		return
	}
	c.kept = slices.DeleteFunc(c.kept, func(other *call) bool {
		_, over := other.response.Outcome()
		hijacked := isHijacked(other.response) && !over
		return !other.returned.IsZero() && !other.response.Canceled() && !hijacked
	})
}

func isHijacked(r *tracked.Response) bool {
	f := stream.Format(r.Format())
	return f == stream.WebSocket || f == stream.Hijacked
}

func (c *calls) all() []*call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.kept)
}

// look notes where those handlers are that have not returned since their context was canceled. It
// looks for one less and less often, since each profile of the goroutines visits all of them.
func (c *calls) look(l label) {
	var all []goroutine
	running := c.running()
	for _, call := range c.all() {
		m, planned := call.response.Moments()
		justSeen := planned && call.response.Age()-call.seenAge < time.Since(m.Cancel)/4
		if !running[call.number] || !call.response.Canceled() || justSeen {
			continue
		}
		if all == nil {
			all = l.goroutines()
		}
		if i := slices.IndexFunc(all, func(g goroutine) bool { return g.call == call.number }); i >= 0 {
			c.mu.Lock()
			call.seen, call.seenAge = all[i], call.response.Age()
			c.mu.Unlock()
		}
	}
}

// running returns the numbers of the calls that have not returned.
func (c *calls) running() map[int]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	numbers := map[int]bool{}
	for _, call := range c.kept {
		if call.returned.IsZero() {
			numbers[call.number] = true
		}
	}
	return numbers
}

// faults returns what went wrong with the calls in a drain that is over. With cuts, those that the
// drain cut are faults too.
func (c *calls) faults(cuts bool) (faults []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.kept {
		r := call.response
		outcome, ended := r.Outcome()
		var what string
		switch {
		case call.returned.IsZero():
			what = "has not returned"
		case !ended:
			what = "has left its hijacked connection open"
		case cuts && outcome == tracked.Cut && r.Rule().Mercy != policy.AtOnce:
			what = "had to be cut"
		default:
			continue
		}
		text := fmt.Sprintf("%s %s, %s after it began", r.Route(), what, cmp.Or(call.seenAge, r.Age()).Round(time.Millisecond))
		if call.seen.n > 0 {
			text += ": " + call.seen.String()
		}
		faults = append(faults, text)
	}
	return faults
}
