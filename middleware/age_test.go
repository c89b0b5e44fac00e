package middleware_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A seen is what a client saw of an event stream, once it has ended.
type seen struct {
	text string
	at   time.Time // of the end
	err  error
}

func (s seen) told() bool { return strings.Contains(s.text, "event: shutdown\n") }

// watch opens an event stream and gives its end. The stream is open when watch
// returns.
func (r *rig) watch(path string, header ...string) <-chan seen {
	r.t.Helper()
	body := r.get(path, header...).Body
	first := make([]byte, len(hello))
	_, err := io.ReadFull(body, first)
	require.NoError(r.t, err)
	end := make(chan seen, 1)
	go func() {
		text, err := io.ReadAll(body)
		end <- seen{string(text), time.Now(), err}
	}()
	return end
}

const hello = "data: hello\n\n"

// quiet is a handler of an event stream that says hello and no more.
func quiet(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, hello)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// conducting tells whether a conductor is running.
func conducting() bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*conductor).run")
}

func TestStreamsEndByTheirAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const age = 100 * time.Second
		rule := policy.Rule{MaxAge: age, Timeout: time.Second}
		d := &middleware.Drainer{Policy: rule}
		s := &store{t: t}
		mux := http.NewServeMux()
		mux.HandleFunc("/events", quiet)
		mux.HandleFunc("/ws", echo(s))
		mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * age)
			_, _ = io.WriteString(w, "done")
		})
		r := serve(t, d, mux)
		r.store = s
		slow := r.later("/slow")
		began := time.Now()
		var ends []<-chan seen
		for range 20 {
			ends = append(ends, r.watch("/events"))
		}
		socket := r.dial("/ws")

		_, _, err := socket.ReadMessage()
		assert.True(t, websocket.IsCloseError(err, 1012), "%v", err)
		assert.GreaterOrEqual(t, time.Since(began), age*4/5)
		assert.LessOrEqual(t, time.Since(began), age)
		var fifths [4]int
		for _, end := range ends {
			e := <-end
			require.NoError(t, e.err)
			assert.Regexp(t, `^retry: \d{4}\nevent: shutdown\ndata: {"retry":\d{4}}\n\n$`, e.text)
			told := e.at.Sub(began) - rule.Timeout
			require.GreaterOrEqual(t, told, age*4/5)
			require.LessOrEqual(t, told, age)
			fifths[(told-age*4/5)*4/(age/5+1)]++
		}
		for _, n := range fifths {
			assert.InDelta(t, 5, n, 1, "ages are even: %v", fifths)
		}
		synctest.Wait()
		report := d.Report()
		assert.Equal(t, middleware.Serving, report.Phase)
		assert.Equal(t, stream.Outcomes{Told: 21}, report.Before)
		assert.Equal(t, stream.Tally{Finite: 1}, report.Open)
		assert.False(t, conducting(), "nobody is left who has an age")
		assert.Equal(t, "done", (<-slow).body, "what is finite has none")
		last := r.watch("/events")
		r.drain()
		r.ended(rule.Timeout)
		assert.True(t, (<-last).told())
	})
}

// Who leaves before leaves nothing behind.
func TestNothingIsKeptOfAStreamThatEndsBeforeItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{MaxAge: time.Hour}}
		r := serve(t, d, http.HandlerFunc(quiet))
		for range 3 {
			res := r.get("/")
			synctest.Wait()
			assert.True(t, conducting())
			require.NoError(t, res.Body.Close())
			r.client.CloseIdleConnections()
			synctest.Wait()
			assert.False(t, conducting())
		}
		assert.Equal(t, stream.Outcomes{Completed: 3}, d.Report().Before)
		r.drain()
		r.ended(0)
	})
}

// The handler's own word counts for the age too, at any time.
func TestWhatAHandlerSaysOfItsAge(t *testing.T) {
	const never = 1000 * time.Hour
	for name, c := range map[string]struct {
		say  func(*http.Request)
		told time.Duration // at the latest
	}{
		"nothing":       {func(*http.Request) {}, time.Hour},
		"younger":       {func(r *http.Request) { stream.From(r.Context()).Refine(policy.Rule{MaxAge: 45 * time.Minute}) }, 45 * time.Minute},
		"past already":  {func(r *http.Request) { stream.From(r.Context()).Refine(policy.Rule{MaxAge: time.Minute}) }, 30 * time.Minute},
		"any age":       {func(r *http.Request) { stream.From(r.Context()).Refine(policy.Rule{MaxAge: policy.ToTheEnd}) }, never},
		"it is finite":  {func(r *http.Request) { stream.Tag(r.Context(), policy.Finite) }, never},
		"finite, or no": {func(r *http.Request) { stream.Tag(r.Context(), policy.Finite); stream.Tag(r.Context(), policy.Auto) }, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{MaxAge: time.Hour, Timeout: policy.AtOnce}}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, hello)
					w.(http.Flusher).Flush()
					time.Sleep(30 * time.Minute)
					c.say(r)
					select {
					case <-r.Context().Done():
					case <-time.NewTimer(never - 30*time.Minute).C:
					}
				}))
				began := time.Now()
				e := <-r.watch("/")
				require.NoError(t, e.err)
				assert.Equal(t, c.told < never, e.told())
				assert.LessOrEqual(t, e.at.Sub(began), c.told+policy.AtOnce)
				assert.GreaterOrEqual(t, e.at.Sub(began), min(c.told, 45*time.Minute)*4/5)
				r.drain()
				r.ended(0)
			})
		})
	}
}

// A stream knows its deadline once it has been told, and its context says why.
func TestAgedStreamKnowsItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{MaxAge: time.Minute, Timeout: 5 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, hello)
			w.(http.Flusher).Flush()
			_, ok := stream.Deadline(r.Context())
			assert.False(t, ok)
			<-stream.Draining(r.Context())
			at, ok := stream.Deadline(r.Context())
			assert.True(t, ok)
			assert.Equal(t, 5*time.Second, time.Until(at))
			<-r.Context().Done()
			assert.Zero(t, time.Until(at))
			assert.ErrorIs(t, context.Cause(r.Context()), stream.ErrDraining)
		}))
		assert.True(t, (<-r.watch("/")).told())
		r.drain()
		r.ended(0)
	})
}

// A stream that was told by its age, with all the time that its rule gives, has to
// end within the budget once the drain begins.
func TestDrainTakesOnWhoWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{
			Policy: policy.Rule{MaxAge: time.Minute, Timeout: time.Hour, Mercy: time.Hour},
			Budget: policy.Budget{Total: 3 * time.Hour},
		}
		wrapped := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, hello)
			w.(http.Flusher).Flush()
			<-stream.Draining(r.Context())
			<-r.Context().Done()
		}))
		r := serveAll(t, d, wrapped)
		end := r.watch("/")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		began := time.Now()
		require.NoError(t, d.Shutdown(ctx))
		assert.LessOrEqual(t, time.Since(began), 10*time.Second)
		assert.True(t, (<-end).told())
		assert.EqualValues(t, 1, d.Report().Told)
		assert.Equal(t, 1, d.Report().Found.SSE)
		_, err := r.end()
		require.NoError(t, err)
	})
}
