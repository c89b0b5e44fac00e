package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func TestEventStreamIsToldThenEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{
			Grace: 4500 * time.Millisecond, Timeout: 2 * time.Second,
			Reconnect: policy.Window{Min: 1500 * time.Millisecond, Max: 1500 * time.Millisecond},
			Farewell:  policy.Farewell{Event: "bye", Data: "come back in {retry} ms\nor later"},
		}}
		s := &store{t: t}
		r := serve(t, d, ticks(s))
		r.store = s
		var ended error
		got := lines(r.get("/").Body, &ended)
		<-got // so that it is a stream by now
		<-got
		r.drain()
		for range 4 { // ticks at 1 s to 4 s: untouched for as long as its grace lasts
			assert.Equal(t, "data: tick", <-got)
			assert.Equal(t, "", <-got)
		}
		for _, want := range []string{"retry: 1500", "event: bye", "data: come back in 1500 ms", "data: or later", ""} {
			assert.Equal(t, want, <-got)
			assert.Equal(t, 4500*time.Millisecond, r.since())
		}
		_, more := <-got
		assert.False(t, more, "what the handler writes after the farewell is swallowed")
		assert.NoError(t, ended, "a clean end")
		assert.Equal(t, 6500*time.Millisecond, r.since())
		assert.EqualValues(t, 1, told(r.ended(6500*time.Millisecond)))
	})
}

func TestFarewellAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}, ticks(nil))
		res := r.get("/")
		got := make(chan string)
		go func() {
			b, err := io.ReadAll(res.Body)
			assert.NoError(t, err)
			got <- string(b)
		}()
		r.drain()
		assert.Regexp(t, `^data: tick\n\nretry: \d{4}\nevent: shutdown\ndata: {"retry":\d{4}}\n\n$`, <-got)
		assert.EqualValues(t, 1, told(r.ended(0)))
	})
}

// A farewell waits for the end of the event that is being written, and goes in
// between when one Write has both its end and more.
func TestFarewellTearsNoEvent(t *testing.T) {
	for name, c := range map[string]struct {
		parts []string
		want  string
		end   func(middleware.Report) uint64
	}{
		"several writes an event":    {[]string{"id: 1\n", "data: a\n", "\n", "data: b\n\n"}, "id: 1\ndata: a\n\nFAREWELL", told},
		"end and beginning in one":   {[]string{"data: a\n", "\ndata: b\n", "\n"}, "data: a\n\nFAREWELL", told},
		"an event that never ends":   {[]string{"data: a\n", "data: b\n"}, "data: a\ndata: b\n", cancelled},
		"not an event stream at all": {[]string{"\x1f\x8b\x00", "\n\n"}, "\x1f\x8b\x00\n\n", cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: 10 * time.Second}}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					for _, part := range c.parts { // the drain begins after the first
						n, err := io.WriteString(w, part)
						assert.NoError(t, err)
						assert.Equal(t, len(part), n)
						w.(http.Flusher).Flush()
						time.Sleep(time.Second)
					}
					<-r.Context().Done()
				}))
				body := r.get("/").Body
				got := make(chan string)
				go func() {
					b, err := io.ReadAll(body)
					assert.NoError(t, err)
					got <- string(b)
				}()
				r.drain()
				seen := <-got
				if i := strings.Index(seen, "retry:"); i >= 0 {
					assert.Regexp(t, `^retry: \d+\nevent: shutdown\ndata: {"retry":\d+}\n\n$`, seen[i:])
					seen = seen[:i] + "FAREWELL"
				}
				assert.Equal(t, c.want, seen)
				assert.EqualValues(t, 1, c.end(r.ended(10*time.Second)))
			})
		})
	}
}

func TestCompressedStreamIsNotWrittenInto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "opaque")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(3 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Equal(t, "opaque", a.body)
		assert.Equal(t, 1, report.Found.Other)
		assert.EqualValues(t, 1, report.Cancelled)
	})
}

// A client that reads nothing is cut at its own deadline, and holds up nobody.
func TestStuckEventStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{t: t}
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /stream", ticks(s))
		r := serve(t, d, mux)
		r.store = s
		c := r.stuck("/stream")
		defer c.Close()
		time.Sleep(10 * time.Second)
		healthy := r.later("/stream")
		r.drain()
		assert.NoError(t, (<-healthy).err)
		assert.Equal(t, 2*time.Second, r.since(), "the healthy one ends on time")
		report := r.ended(3 * time.Second)
		assert.EqualValues(t, 1, report.Told)
		assert.EqualValues(t, 1, report.Cut)
		require.Len(t, report.Ends, 1)
		assert.Equal(t, middleware.End{
			Route: "GET /stream", Kind: policy.Infinite, Protocol: stream.SSE,
			Age: 13 * time.Second, Idle: 13 * time.Second,
		}, report.Ends[0])
	})
}

func TestStreamThatBeginsDuringTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			time.Sleep(5 * time.Second) // undecided when the drain begins
			ticks(nil)(w, req)
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(6 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Regexp(t, `^(data: tick\n\n)?retry: \d+\nevent: shutdown\n.*\n\n$`, a.body)
		assert.EqualValues(t, 1, report.Told)
	})
}

// The handler knows best: its Tag stands above rule and content type.
func TestKinds(t *testing.T) {
	const events, plain = "text/event-stream", "text/plain"
	for _, c := range []struct {
		contentType string
		tag, rule   policy.Kind
		want        policy.Kind
	}{
		{plain, policy.Auto, policy.Auto, policy.Finite},
		{events, policy.Auto, policy.Auto, policy.Infinite},
		{"multipart/x-mixed-replace; boundary=b", policy.Auto, policy.Auto, policy.Infinite},
		{"application/x-ndjson", policy.Auto, policy.Auto, policy.Infinite},
		{events, policy.Auto, policy.Finite, policy.Finite},
		{plain, policy.Auto, policy.Infinite, policy.Infinite},
		{events, policy.Finite, policy.Infinite, policy.Finite},
		{plain, policy.Infinite, policy.Finite, policy.Infinite},
	} {
		t.Run(fmt.Sprint(c.contentType, " tag ", c.tag, " rule ", c.rule), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var kind policy.Kind
				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Kind: c.rule}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c.tag != policy.Auto {
						stream.Tag(r.Context(), c.tag)
					}
					w.Header().Set("Content-Type", c.contentType)
					w.WriteHeader(http.StatusOK)
					kind = stream.From(r.Context()).Kind()
				}))
				<-r.later("/")
				r.ended(0)
				assert.Equal(t, c.want, kind)
			})
		})
	}
}

// A proxy panics when its upstream breaks off. A stream that was told at a
// boundary ends clean all the same; a finite body stays cut.
func TestReverseProxy(t *testing.T) {
	for path, c := range map[string]struct {
		clean bool
		end   func(middleware.Report) uint64
	}{"/stream": {true, told}, "/finite": {false, wasCut}} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mux := http.NewServeMux()
				mux.HandleFunc("/stream", ticks(nil))
				mux.HandleFunc("/finite", func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, "half")
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				})
				back := memnet.New()
				upstream := &http.Server{Handler: mux}
				served := make(chan error)
				go func() { served <- upstream.Serve(back) }()
				proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "memory"})
				transport := &http.Transport{DialContext: back.Dial}
				proxy.Transport = transport

				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Timeout: time.Second}}, proxy)
				got := r.later(path)
				r.drain()
				_, err := r.end()
				assert.NoError(t, err)
				a := <-got
				if c.clean {
					assert.NoError(t, a.err)
					assert.Contains(t, a.body, "event: shutdown\n")
				} else {
					assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
				}
				assert.EqualValues(t, 1, c.end(r.d.Report()))
				transport.CloseIdleConnections()
				upstream.Close()
				<-served
			})
		})
	}
}

func TestErrDrainingIsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause, childs error
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			child, cancel := context.WithCancel(r.Context())
			defer cancel()
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			<-child.Done()
			cause, childs = context.Cause(r.Context()), context.Cause(child)
			assert.ErrorIs(t, r.Context().Err(), context.Canceled)
		}))
		got := r.later("/")
		r.drain()
		r.ended(3 * time.Second)
		<-got
		assert.ErrorIs(t, cause, stream.ErrDraining)
		assert.ErrorIs(t, childs, stream.ErrDraining)
	})
}

// A handler that listens to nothing but the errors of its writes is swallowed
// after its farewell, and freed by its cut.
func TestDeafEventStreamIsFreedByItsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: time.Second, Mercy: time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			tick := time.NewTicker(300 * time.Millisecond)
			defer tick.Stop()
			for http.NewResponseController(w).Flush() == nil {
				<-tick.C
				if _, err := io.WriteString(w, "data: tick\n\n"); err != nil {
					assert.ErrorIs(t, err, net.ErrClosed)
					return
				}
			}
		}))
		var err error
		events := lines(r.get("/").Body, &err)
		r.drain()
		for line := range events {
			if line == `event: shutdown` {
				break
			}
		}
		<-events // its data
		<-events // its end
		for line := range events {
			t.Errorf("after the farewell: %q", line)
		}
		assert.Error(t, err, "cut")
		report := r.ended(2100 * time.Millisecond) // with its next tick
		assert.EqualValues(t, 1, report.Cut, "%+v", report)
	})
}
