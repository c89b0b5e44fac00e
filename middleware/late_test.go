package middleware_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A pause is a log that holds a drain up once, at its first line on its progress, after 1 s.
type pause struct {
	slog.Handler
	takes time.Duration
	once  sync.Once
}

func (*pause) Enabled(context.Context, slog.Level) bool { return true }

func (p *pause) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "draining" {
		p.once.Do(func() { time.Sleep(p.takes) })
	}
	return nil
}

// A drain that is held up when a context is to be canceled, or when a response is to be cut, gives
// the handler its time all the same, as far as the drain has it.
func TestWhatComesLateMovesWhatFollows(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		work, grace  time.Duration // of a finite response: zero for a stream
		timeout      time.Duration
		needs        time.Duration // from the drain's beginning until its handler returns; zero: it never does
		cancel, ends time.Duration
		cut          bool
	}{
		"late cancel":                   {work: 20 * time.Second, timeout: 1500 * ms, needs: 3900 * ms, cancel: 3000 * ms, ends: 3900 * ms},
		"late cancel, never returns":    {work: 20 * time.Second, timeout: 1500 * ms, cancel: 3000 * ms, ends: 4000 * ms, cut: true},
		"late cancel, little time left": {work: 3400 * ms, timeout: 1500 * ms, cancel: 3000 * ms, ends: 3400 * ms, cut: true},
		"late cancel, no time left":     {work: 2600 * ms, timeout: 1500 * ms, cancel: 3000 * ms, ends: 3000 * ms, cut: true},
		"late cancel, finite":           {work: 20 * time.Second, grace: 1500 * ms, cancel: 3000 * ms, ends: 4000 * ms, cut: true},
		"late cut":                      {work: 20 * time.Second, timeout: 500 * ms, needs: 3900 * ms, cancel: 500 * ms, ends: 3900 * ms},
		"late cut, never returns":       {work: 20 * time.Second, timeout: 500 * ms, cancel: 500 * ms, ends: 4000 * ms, cut: true},
		"late cut, little time left":    {work: 3400 * ms, timeout: 500 * ms, cancel: 500 * ms, ends: 3400 * ms, cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{
					Policy: policy.Rule{Grace: c.grace, Timeout: c.timeout, Mercy: time.Second},
					Budget: policy.Budget{Total: c.work + time.Second, Reserve: time.Second},
					Logger: slog.New(&pause{Handler: slog.DiscardHandler, takes: 2 * time.Second}), // from 1 s to 3 s
				}
				var r *rig
				canceled, cut := make(chan time.Duration, 1), make(chan struct{})
				r = serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if c.grace == 0 {
						w.Header().Set("Content-Type", "text/event-stream")
					}
					_, _ = io.WriteString(w, hello)
					w.(http.Flusher).Flush()
					<-req.Context().Done()
					canceled <- r.since()
					if c.needs > 0 {
						time.Sleep(c.needs - r.since())
					} else {
						<-cut
					}
				}))
				end := r.watch("/")
				r.drain()
				assert.Equal(t, c.cancel, <-canceled)
				got := <-end
				close(cut)
				assert.WithinDuration(t, r.began.Add(c.ends), got.at, 2*time.Millisecond)
				assert.Equal(t, c.cut, got.err != nil, "%v", got.err)
				assert.Equal(t, c.grace == 0, got.told())
				_, err := r.end()
				assert.NoError(t, err)
				if c.cut {
					assert.EqualValues(t, 1, wasCut(d.Report()))
				}
			})
		})
	}
}

// A client that takes its time to read the farewell has the rule's time after it.
func TestCancelCountsFromTheWrittenFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second, Mercy: time.Second}}
		r := serve(t, d, http.HandlerFunc(quiet))
		c, br := r.reads("/")
		defer c.Close()
		r.drain()
		time.Sleep(2 * time.Second)
		_, err := io.Copy(io.Discard, br)
		require.NoError(t, err)
		r.endsAfter(5 * time.Second)
		assert.EqualValues(t, 1, told(d.Report()))
	})
}

// Peers that don't read their farewells hold up nobody else, however many there are.
func TestStuckPeersHoldUpOnlyThemselves(t *testing.T) {
	const stuck, others = 200, 200
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Mercy: 5 * time.Second}}
		r := serve(t, d, http.HandlerFunc(quiet))
		ends := make([]<-chan transcript, others)
		for i := range ends {
			c, _ := r.reads("/")
			defer c.Close()
			ends[i] = r.watch("/")
		}
		r.drain()
		for _, end := range ends {
			got := <-end
			assert.True(t, got.told())
			assert.NoError(t, got.err)
			assert.LessOrEqual(t, got.at.Sub(r.began), 50*time.Millisecond)
		}
		took, err := r.end()
		assert.NoError(t, err)
		assert.LessOrEqual(t, took, 5*time.Second+100*time.Millisecond)
		assert.EqualValues(t, others, told(d.Report()))
		assert.EqualValues(t, stuck, wasCut(d.Report()))
	})
}

// Nor do handlers whose own farewell takes its time.
func TestSlowFarewellFunctionsHoldUpOnlyThemselves(t *testing.T) {
	const slow = 100
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/slow" {
				stream.OnFarewell(req.Context(), func(time.Duration) (f policy.Farewell) {
					time.Sleep(400 * time.Millisecond) // and 500 ms are what the mercy allows
					return f
				})
			}
			quiet(w, req)
		}))
		var ends []<-chan transcript
		for range slow {
			ends = append(ends, r.watch("/slow"))
		}
		quick := r.watch("/")
		r.drain()
		assert.LessOrEqual(t, (<-quick).at.Sub(r.began), 50*time.Millisecond)
		for _, end := range ends {
			assert.True(t, (<-end).told())
		}
		_, err := r.end()
		assert.NoError(t, err)
	})
}

// reads opens an event stream whose client reads the first event, and no more by itself.
func (r *rig) reads(path string) (net.Conn, io.Reader) {
	r.t.Helper()
	c, err := r.net.Dial(context.Background(), "", "")
	require.NoError(r.t, err)
	res := sendRequest(r.t, c, bufio.NewReader(c), path, "HTTP/1.1", "Accept: text/event-stream", "Cache-Control: no-cache")
	_, err = io.ReadFull(res.Body, make([]byte, len(hello)))
	require.NoError(r.t, err)
	return c, res.Body
}

// A stream whose rule has no time for a farewell gets none, however idle the machine is.
func TestNoFarewellWithoutTime(t *testing.T) {
	for name, rule := range map[string]policy.Rule{"cut at once": policy.CutAtOnce(), "left alone": policy.LeaveAlone()} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				synctest.Test(t, func(t *testing.T) {
					cut := make(chan struct{})
					r := serve(t, &middleware.Drainer{Policy: rule}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						startEvents(w, hello)
						<-cut
					}))
					end := r.watch("/")
					r.drain()
					got := <-end
					close(cut)
					assert.Error(t, got.err)
					assert.Empty(t, got.text)
					_, err := r.end()
					assert.NoError(t, err)
				})
			}
		})
	}
}
