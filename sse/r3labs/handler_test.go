package r3labs_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	r3 "github.com/r3labs/sse/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse/r3labs"
)

const farewell = `^retry: \d+\nevent: shutdown\ndata: {"retry":\d+}$`

// The bubble ends only when no goroutine is left in it, the library's included.
func TestDrainThenClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &r3labs.Handler{Server: r3.New()}, policy.Rule{Spread: 2 * time.Second, Timeout: policy.AtOnce})
		publishing, stop := context.WithCancel(context.Background())
		var all sync.WaitGroup
		all.Go(func() {
			for n := 0; publishing.Err() == nil; n++ {
				r.publish(fmt.Sprint("event ", n))
				time.Sleep(10 * time.Millisecond)
			}
		})
		const subscribers = 50
		for range subscribers {
			s := r.subscribe()
			all.Go(func() {
				events, err := s.rest()
				assert.NoError(t, err, "a clean end")
				assert.Regexp(t, farewell, events[len(events)-1])
				for _, e := range events[:len(events)-1] {
					assert.Regexp(t, `^id: \d+\ndata: event \d+$`, e)
				}
			})
		}
		time.Sleep(time.Second)
		r.drain()
		report := r.end()
		assert.EqualValues(t, subscribers, report.Told)
		assert.Less(t, report.Took, 2*time.Second)
		stop()
		all.Wait()
	})
}

func TestCloseWaitsForTheContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &r3labs.Handler{Server: r3.New()}
		h.Server.CreateStream("s")
		ctx, leave := context.WithCancel(context.Background())
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				h.ServeHTTP(httptest.NewRecorder(), asEventSource(httptest.NewRequestWithContext(ctx, http.MethodGet, "/?stream=s", nil)))
			})
		}
		synctest.Wait()

		soon, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := h.Close(soon)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "r3labs: close: 2 subscribers are still there")
		assert.True(t, h.Server.StreamExists("s"), "the library isn't closed under them")

		time.AfterFunc(time.Second, leave)
		assert.NoError(t, h.Close(context.Background()))
		assert.False(t, h.Server.StreamExists("s"))
		all.Wait()
		assert.NoError(t, h.Close(soon), "nothing is left to wait for")
	})
}

// Subscribers that arrive at the very moment of Close are either let go or refused, and none is
// stranded.
func TestSubscribersBesideClose(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			h := &r3labs.Handler{Server: r3.New()}
			h.Server.CreateStream("s")
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					w := httptest.NewRecorder()
					h.ServeHTTP(w, asEventSource(httptest.NewRequestWithContext(ctx, http.MethodGet, "/?stream=s", nil)))
					assert.Equal(t, http.StatusOK, w.Code)
					assert.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
					assert.Regexp(t, `^(retry: [1-4]\d{3}\n\n)?$`, w.Body.String())
				})
			}
			all.Go(func() { assert.NoError(t, h.Close(context.Background())) })
			all.Wait()
		})
	}
}

// Replicas that close together give their first clients different slots.
func TestFirstSlotIsRandom(t *testing.T) {
	slots := make(map[string]bool)
	for range 10 {
		h := &r3labs.Handler{Server: r3.New()}
		require.NoError(t, h.Close(t.Context()))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, asEventSource(httptest.NewRequest(http.MethodGet, "/?stream=s", nil)))
		slots[w.Body.String()] = true
	}
	assert.Greater(t, len(slots), 1)
}

func TestRefusedAfterClose(t *testing.T) {
	h := &r3labs.Handler{Server: r3.New()}
	require.NoError(t, h.Close(context.Background()))
	seen := map[string]bool{}
	for range 10 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, asEventSource(httptest.NewRequest(http.MethodGet, "/?stream=s", nil)))
		assert.Equal(t, http.StatusOK, w.Code)
		seen[w.Body.String()] = true
	}
	assert.Len(t, seen, 10, "each has a slot of its own")
}

// The others wait for someone who has stopped reading as long as one event may take, and no longer.
func TestStuckSubscriberIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &r3labs.Handler{Server: r3.New(), Patience: 2 * time.Second}, policy.Rule{})
		stuck := r.stuck()
		defer stuck.Close()
		synctest.Wait()
		s := r.subscribe()
		const events = 3000 // more than the library's queues hold
		go func() {
			for n := range events {
				r.publish(fmt.Sprint(n))
			}
		}()
		began := time.Now()
		for n := range events {
			event, err := s.next()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("id: %d\ndata: %d", n, n), event)
		}
		assert.LessOrEqual(t, time.Since(began), 2*time.Second)
		r.drain()
		_, err := s.rest()
		assert.NoError(t, err)
		report := r.end()
		assert.EqualValues(t, 1, report.Told)
		assert.EqualValues(t, 1, report.Before.All(), "the stuck one has ended long ago")
	})
}

// The library's loop is held up, but the responses end each on its own time.
func TestOthersEndBesideStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &r3labs.Handler{Server: r3.New(), Patience: time.Hour}
		r := start(t, h, policy.Rule{Timeout: policy.AtOnce, Mercy: 3 * time.Second})
		stuck := r.stuck()
		defer stuck.Close()
		synctest.Wait()
		var all sync.WaitGroup
		const others = 5
		for range others {
			s := r.subscribe()
			all.Go(func() {
				events, err := s.rest()
				assert.NoError(t, err, "a clean end")
				assert.Regexp(t, farewell, events[len(events)-1])
				assert.LessOrEqual(t, r.since(), policy.AtOnce, "on time")
			})
		}
		all.Go(func() {
			for n := range 3000 {
				h.Server.TryPublish("s", &r3.Event{Data: fmt.Append(nil, n)})
			}
		})
		r.drain()
		report := r.end()
		all.Wait()
		assert.EqualValues(t, others, report.Told)
		assert.EqualValues(t, 1, report.Cut)
		assert.Equal(t, 3*time.Second+policy.AtOnce, report.Took, "the stuck one at its own deadline")
	})
}

// A write deadline that is left set resets an HTTP/2 stream when it passes, and breaks off an
// HTTP/1 body at its end.
func TestIdleStreamOutlivesItsDeadlines(t *testing.T) {
	for name, set := range map[string]func(*http.Protocols, bool){
		"HTTP/1.1": (*http.Protocols).SetHTTP1, "HTTP/2.0": (*http.Protocols).SetUnencryptedHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &r3labs.Handler{Server: r3.New(), Patience: time.Second}
				r := start(t, h, policy.Rule{Kind: policy.Finite})
				protocols := new(http.Protocols)
				set(protocols, true)
				r.client.Transport.(*http.Transport).Protocols = protocols
				s := r.subscribe()
				for n := range 3 {
					r.publish("tick")
					event, err := s.next()
					require.NoError(t, err)
					assert.Equal(t, fmt.Sprintf("id: %d\ndata: tick", n), event)
					time.Sleep(time.Minute)
				}
				h.Server.Publish("s", &r3.Event{}) // at which the library ends
				_, err := s.next()
				assert.Equal(t, io.EOF, err)
				assert.EqualValues(t, 1, r.end().Before.All())
			})
		})
	}
}

// A stream that a rule calls finite is let finish.
func TestFiniteStreamGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &r3labs.Handler{Server: r3.New()}
		r := start(t, h, policy.Rule{Kind: policy.Finite})
		s := r.subscribe()
		r.drain()
		time.Sleep(time.Second)
		r.publish("the last word")
		time.Sleep(time.Second)
		h.Server.Publish("s", &r3.Event{})
		events, err := s.rest()
		assert.NoError(t, err)
		assert.Equal(t, []string{"id: 0\ndata: the last word"}, events)
		assert.EqualValues(t, 1, r.end().Completed)
	})
}

// What the library answers instead of a stream comes through with its header.
func TestAnswersThatAreNoStream(t *testing.T) {
	h := &r3labs.Handler{Server: r3.New()}
	for _, c := range []struct {
		w    http.ResponseWriter
		path string
		want string
	}{
		{httptest.NewRecorder(), "/", "Please specify a stream!"},
		{httptest.NewRecorder(), "/?stream=none", "Stream not found!"},
		{struct{ http.ResponseWriter }{httptest.NewRecorder()}, "/?stream=s", "Streaming unsupported!"},
	} {
		c.w.Header().Set("Access-Control-Allow-Origin", "*")
		c.w.Header().Set("Content-Length", "7") // which http.Error removes
		h.ServeHTTP(c.w, asEventSource(httptest.NewRequest(http.MethodGet, c.path, nil)))
		w, ok := c.w.(*httptest.ResponseRecorder)
		if !ok {
			w = c.w.(struct{ http.ResponseWriter }).ResponseWriter.(*httptest.ResponseRecorder)
		}
		assert.Equal(t, http.StatusInternalServerError, w.Code)
		assert.Equal(t, c.want, strings.TrimSpace(w.Body.String()))
		assert.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
		assert.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
		assert.Empty(t, w.Header().Get("Content-Length"))
	}
	require.NoError(t, h.Close(context.Background()))
}

// What middleware around the Handler has put into the header goes out with the stream.
func TestHeaderOfOuterMiddlewareSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &r3labs.Handler{Server: r3.New()}
		h.Server.CreateStream("s")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Add("Vary", "Origin")
		w.Header().Add("Vary", "Accept-Encoding")
		h.ServeHTTP(w, asEventSource(httptest.NewRequestWithContext(ctx, http.MethodGet, "/?stream=s", nil)))
		sent := w.Result().Header
		assert.Equal(t, "text/event-stream", sent.Get("Content-Type"), "the library's own")
		assert.Equal(t, []string{"*"}, sent.Values("Access-Control-Allow-Origin"))
		assert.Equal(t, []string{"Origin", "Accept-Encoding"}, sent.Values("Vary"))
		synctest.Wait()
		assert.NoError(t, h.Close(t.Context()))
	})
}

// A panic is net/http's to deal with, on the request's own goroutine.
func TestPanicOfTheLibrary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &r3labs.Handler{Server: r3.New()}
		h.Server.AutoReplay = false
		h.Server.CreateStream("s")
		time.AfterFunc(time.Second, func() { h.Server.Publish("s", nil) })
		assert.Panics(t, func() {
			h.ServeHTTP(httptest.NewRecorder(), asEventSource(httptest.NewRequest(http.MethodGet, "/?stream=s", nil)))
		})
		synctest.Wait()
		assert.NoError(t, h.Close(context.Background()))
	})
}
