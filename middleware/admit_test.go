package middleware_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A tool call by MCP is a POST answered with an event stream, in which the server may ask its
// client for something. The client answers with another POST.
func TestAnswerThatAToolCallWaitsForIsAdmitted(t *testing.T) {
	var routes policy.Mux
	routes.Handle("POST /mcp", policy.Rule{Kind: policy.Finite, Admit: true})
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: &routes}
		answers := make(chan string)
		mux := http.NewServeMux()
		mux.HandleFunc("POST /mcp", func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			if string(body) != "call" {
				answers <- string(body)
				w.WriteHeader(http.StatusAccepted)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			<-stream.Draining(r.Context())
			_, _ = io.WriteString(w, "data: which city?\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case city := <-answers:
				_, _ = fmt.Fprintf(w, "data: fair in %s\n\n", city)
			case <-r.Context().Done():
			}
		})
		r := serve(t, d, mux)
		post := func(body string) *http.Response {
			res, err := r.client.Post("http://memory/mcp", "text/plain", strings.NewReader(body))
			require.NoError(t, err)
			return res
		}
		called := make(chan *http.Response)
		go func() { called <- post("call") }()
		r.drain()
		call := <-called
		defer call.Body.Close()
		events := bufio.NewReader(call.Body)
		question, err := events.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "data: which city?\n", question)

		time.Sleep(5 * time.Second)
		res := r.get("/other")
		assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode, "its route doesn't admit")
		res = post("Graz")
		res.Body.Close()
		assert.Equal(t, http.StatusAccepted, res.StatusCode)
		assert.True(t, res.Close, "Connection: close")
		rest, err := io.ReadAll(events)
		require.NoError(t, err)
		assert.Equal(t, "\ndata: fair in Graz\n\n", string(rest))

		report := r.endsAfter(5 * time.Second) // the instant that both are done
		assert.Equal(t, middleware.Outcomes{Completed: 2, Refused: 1}, report.Outcomes)
		assert.Equal(t, middleware.Tally{Finite: 1}, report.Found)
	})
}

// While something is open, requests whose rule admits them are served. They are told at once, keep
// the drain up like any other, and end by the same times.
func TestAdmittedResponseEndsWithinTheBudget(t *testing.T) {
	for name, c := range map[string]struct {
		rule   policy.Rule
		cancel time.Duration
	}{
		"no Grace": {policy.Rule{Admit: true}, 22 * time.Second},
		"Grace":    {policy.Rule{Admit: true, Grace: 12 * time.Second}, 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r *rig
				r = serve(t, &middleware.Drainer{Policy: c.rule}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					ctx := req.Context()
					if req.URL.Path == "/first" {
						time.Sleep(10 * time.Second)
						return
					}
					<-stream.Draining(ctx)
					assert.Equal(t, 9*time.Second, r.since())
					synctest.Wait()
					deadline, ok := stream.Deadline(ctx)
					assert.True(t, ok)
					assert.Equal(t, c.cancel, deadline.Sub(r.began))
					<-ctx.Done()
					assert.Equal(t, stream.ErrDraining, context.Cause(ctx))
					assert.Equal(t, c.cancel, r.since())
					time.Sleep(time.Second / 2) // no time is left for another
				}))
				r.getAsyncWith("/first")
				r.drain()
				time.Sleep(9 * time.Second)
				admitted := r.getAsyncWith("/")
				time.Sleep(c.cancel - 9*time.Second)
				synctest.Wait()
				assert.Equal(t, middleware.Tally{Finite: 1}, r.d.Report().Open)
				assert.Equal(t, http.StatusServiceUnavailable, r.get("/too-late").StatusCode)
				report := r.endsAfter(c.cancel + time.Second/2)
				assert.Equal(t, http.StatusServiceUnavailable, (<-admitted).StatusCode)
				assert.Equal(t, middleware.Outcomes{Completed: 1, Canceled: 1, Refused: 1}, report.Outcomes)
			})
		})
	}
}

func TestNobodyIsAdmittedOnceNoneIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Admit: true}}
		r := serveWithoutRun(t, middleware.Graceful(d)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		d.Drain() // by Run, the listener would be closed
		synctest.Wait()
		assert.Equal(t, http.StatusServiceUnavailable, r.get("/").StatusCode)
		require.NoError(t, d.Resume())
		assert.Equal(t, http.StatusOK, r.get("/").StatusCode)
		_, _ = r.end()
	})
}

// A stream that is admitted is told as soon as it shows.
func TestAdmittedStreamIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := policy.Rule{Admit: true, Timeout: policy.AtOnce}
		r := serve(t, &middleware.Drainer{Policy: rule}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/first" {
				time.Sleep(10 * time.Second)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, hello)
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
		}))
		r.getAsyncWith("/first")
		r.drain()
		time.Sleep(9 * time.Second)
		end := <-r.watch("/events")
		assert.True(t, end.told(), end.text)
		report := r.endsAfter(10 * time.Second)
		assert.Equal(t, middleware.Outcomes{Completed: 1, Told: 1}, report.Outcomes)
	})
}

// Close cuts also those that were admitted a moment ago, and nobody is admitted from then on.
func TestCloseCutsTheAdmitted(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Admit: true}}
			var r *rig
			r = serve(t, d, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				<-req.Context().Done()
				if req.URL.Path == "/first" {
					assert.Equal(t, http.StatusServiceUnavailable, r.get("/too-late").StatusCode)
				}
			}))
			r.getAsyncWith("/first")
			r.drain()
			time.Sleep(time.Second)
			for range 5 {
				r.getAsyncWith("/")
			}
			runtime.Gosched()
			go func() { _ = d.Close() }()
			report := r.endsAfter(time.Second)
			assert.Positive(t, report.Refused)
			assert.Zero(t, report.Open)
		})
	}
}
