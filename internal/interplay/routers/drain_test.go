package routers

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// window returns the reconnect window of one second, from that many seconds on.
func window(seconds int) policy.Window {
	return policy.Window{Min: time.Duration(seconds) * time.Second, Max: time.Duration(seconds+1) * time.Second}
}

// endsWhenDraining is a handler that writes another event and ends when the drain starts.
func endsWhenDraining(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "data: first\n\n")
	_ = http.NewResponseController(w).Flush()
	select {
	case <-stream.Draining(r.Context()):
	case <-r.Context().Done():
	}
	_, _ = io.WriteString(w, "data: last\n\n")
}

// endsWhenCanceled is a handler that ends when its context does.
func endsWhenCanceled(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "data: first\n\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// endsWhenCut is a handler that ends when nothing more can be written.
func endsWhenCut(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "data: first\n\n")
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		<-tick.C
		_, err := io.WriteString(w, ":\n")
		if err == nil {
			err = http.NewResponseController(w).Flush()
		}
		if errors.Is(err, net.ErrClosed) || err != nil && !errors.Is(err, stream.ErrDraining) {
			return // not by its cancel, at which its writes fail first
		}
	}
}

// withType returns h with a content type.
func withType(contentType string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		h(w, r)
	}
}

// after returns a handler that first calls first, for instance to tag the response.
func after(first func(ctx context.Context), h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		first(r.Context())
		h(w, r)
	}
}

// drains are what a client has to see after the first event of a response, by its rule.
var drains = []struct {
	name     string
	rules    rules
	budget   policy.Budget
	handler  http.HandlerFunc
	sees     string // a pattern
	torn     bool   // the end of the body is an error
	outcomes middleware.Outcomes
}{
	{name: "a farewell in parts", rules: rules{
		fromDefault: {Timeout: policy.AtOnce, Reconnect: window(7)},
		fromTable:   {Farewell: policy.Farewell{Event: "bye", Data: "table"}},
		fromRoute:   {Farewell: policy.Farewell{Data: "come back in {retry}"}},
	}, handler: withType(eventStream, endsWhenCanceled), sees: `^retry: 7\d{3}\nevent: bye\ndata: come back in 7\d{3}\n\n$`, outcomes: middleware.Outcomes{Told: 1}},
	{name: "the innermost window", rules: rules{
		fromDefault: {Timeout: policy.AtOnce, Reconnect: window(7)}, fromTable: {Reconnect: window(6)},
		fromOutside: {Reconnect: window(5)}, fromRoot: {Reconnect: window(4)}, fromGroup: {Reconnect: window(3)},
		fromSubgroup: {Reconnect: window(2)}, fromRoute: {Reconnect: window(1)},
	}, handler: withType(eventStream, endsWhenCanceled), sees: `^retry: 1\d{3}\nevent: shutdown\ndata: {"retry":1\d{3}}\n\n$`, outcomes: middleware.Outcomes{Told: 1}},
	{name: "the handler's rule", rules: rules{
		fromRoute:   {Timeout: time.Second, Reconnect: window(1), Farewell: policy.Farewell{Event: "bye"}},
		fromHandler: {Timeout: policy.AtOnce, Reconnect: window(9)},
	}, handler: withType(eventStream, endsWhenCanceled), sees: `^retry: 9\d{3}\nevent: bye\n`, outcomes: middleware.Outcomes{Told: 1}},
	{name: "the handler's farewell over its rule", rules: rules{
		fromRoute:   {Timeout: policy.AtOnce, Farewell: policy.Farewell{Event: "bye", Data: "route"}},
		fromHandler: {Farewell: policy.Farewell{Data: "handler"}},
	}, handler: withType(eventStream, after(func(ctx context.Context) {
		stream.OnFarewell(ctx, func(time.Duration) policy.Farewell { return policy.Farewell{Data: "own"} })
	}, endsWhenCanceled)), sees: `^retry: [1-4]\d{3}\nevent: bye\ndata: own\n\n$`, outcomes: middleware.Outcomes{Told: 1}},

	{name: "an answer by tag", rules: rules{fromTable: policy.TellComeBack(), fromRoute: policy.TellStayAway()},
		handler: withType(eventStream, after(func(ctx context.Context) { stream.Tag(ctx, policy.Finite) }, endsWhenDraining)),
		sees:    `^data: last\n\n$`, outcomes: middleware.Outcomes{Completed: 1}},
	{name: "an answer by the route's rule", rules: rules{fromTable: policy.TellComeBack(), fromRoute: policy.LetFinish()},
		handler: withType(eventStream, endsWhenDraining), sees: `^data: last\n\n$`, outcomes: middleware.Outcomes{Completed: 1}},
	{name: "a watch of JSON by the group's rule", rules: rules{fromTable: policy.LetFinish(), fromGroup: {Kind: policy.Infinite, Timeout: policy.AtOnce}},
		handler: withType("application/json", endsWhenCanceled), sees: `^$`, outcomes: middleware.Outcomes{Canceled: 1}},
	{name: "a stream by tag", rules: rules{fromTable: policy.LetFinish(), fromRoute: {Timeout: policy.AtOnce}},
		handler: withType("text/plain", after(func(ctx context.Context) { stream.Tag(ctx, policy.Infinite) }, endsWhenCanceled)),
		sees:    `^$`, outcomes: middleware.Outcomes{Canceled: 1}},

	{name: "left alone over told at once", rules: rules{fromTable: {Kind: policy.Infinite, Timeout: policy.AtOnce}, fromRoute: policy.LeaveAlone()},
		budget:  policy.Budget{Total: 5*time.Second + 500*time.Millisecond, Reserve: 5 * time.Second},
		handler: withType(eventStream, endsWhenCut), sees: `^[:\n]*(retry: \d+\nevent: shutdown\ndata: .*\n\n)?$`, torn: true, outcomes: middleware.Outcomes{Cut: 1}},
	{name: "told at once over left alone", rules: rules{fromTable: policy.LeaveAlone(), fromRoute: {Grace: policy.AtOnce, Mercy: time.Second}},
		handler: withType(eventStream, endsWhenCanceled), sees: `^retry: [1-4]\d{3}\nevent: shutdown\n`, outcomes: middleware.Outcomes{Told: 1}},
	{name: "cut at once over let finish", rules: rules{fromTable: policy.LetFinish(), fromRoute: policy.CutAtOnce()},
		handler: withType("text/plain", endsWhenCanceled), sees: `^$`, torn: true, outcomes: middleware.Outcomes{Cut: 1}},
}

// asEventSource are the header fields that every EventSource sends.
var asEventSource = []string{"Accept", eventStream, "Cache-Control", "no-cache", "User-Agent", "EventSource"}

// TestDrain drains a response of each rule under each router.
func TestDrain(t *testing.T) {
	forEachRouter(t, func(t *testing.T, r router, rewrite wrap) {
		for _, c := range drains {
			d := c.rules.drainer(c.budget)
			s := httptest.NewServer(c.rules.serve(d, r, rewrite, c.handler))
			res := open(t, s.URL+path, asEventSource...)
			body := bufio.NewReader(res.Body)
			const first = "data: first\n\n"
			got, err := io.ReadAll(io.LimitReader(body, int64(len(first))))
			require.NoError(t, err, c.name)
			require.Equal(t, first, string(got), c.name)

			report := harness.Shutdown(t, d, c.name)
			got, err = io.ReadAll(body)
			assert.Equal(t, c.torn, err != nil, "%s: %v", c.name, err)
			assert.Regexp(t, c.sees, string(got), c.name)
			assert.Equal(t, c.outcomes, report.Outcomes, "%s: %+v", c.name, report)
			res.Body.Close()
			s.Close()
		}
	})
}

// TestRefusal sends requests in the middle of a drain. The outermost Graceful refuses them, by the
// rule that is known there.
func TestRefusal(t *testing.T) {
	tests := []struct {
		name  string
		rules rules
		slot  int // the window's first second
	}{
		{"by the table over the default", rules{fromDefault: {Reconnect: window(10)}, fromTable: {Reconnect: window(20)}, fromRoute: {Reconnect: window(50)}}, 20},
		{"by the rule from outside over the table", rules{fromTable: {Reconnect: window(20)}, fromOutside: {Reconnect: window(30)}, fromRoute: {Reconnect: window(50)}}, 30},
		{"by the router's", rules{fromRoot: {Reconnect: window(30)}, fromGroup: {Reconnect: window(40)}}, 30},
		{"by the group's", rules{fromGroup: {Reconnect: window(40)}, fromRoute: {Reconnect: window(50)}}, 40},
		{"by the inner group's", rules{fromSubgroup: {Reconnect: window(40)}, fromRoute: {Reconnect: window(50)}}, 40},
		{"by the route's", rules{fromRoute: {Reconnect: window(50)}}, 50},
	}
	forEachRouter(t, func(t *testing.T, r router, rewrite wrap) {
		for _, c := range tests {
			d := c.rules.drainer(policy.Budget{})
			draining, release := make(chan struct{}), make(chan struct{})
			s := httptest.NewServer(c.rules.serve(d, r, rewrite, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush()
				<-stream.Draining(r.Context())
				close(draining)
				<-release
			}))
			held, err := s.Client().Get(s.URL + path)
			require.NoError(t, err, c.name)
			d.Start()
			<-draining

			plain, body := get(t, s.URL+path)
			assert.Equal(t, http.StatusServiceUnavailable, plain.StatusCode, c.name)
			assert.Equal(t, strconv.Itoa(c.slot+1), plain.Header.Get("Retry-After"), c.name)
			assert.NotEmpty(t, body, c.name)
			assert.True(t, plain.Close, c.name)

			events, body := get(t, s.URL+path, asEventSource...)
			assert.Equal(t, http.StatusOK, events.StatusCode, c.name)
			assert.Equal(t, eventStream, events.Header.Get("Content-Type"), c.name)
			assert.Regexp(t, `^retry: `+strconv.Itoa(c.slot)+`\d{3}\n\n$`, body, c.name)

			upgrade, _ := get(t, s.URL+path, "Connection", "Upgrade", "Upgrade", "websocket")
			assert.Equal(t, http.StatusServiceUnavailable, upgrade.StatusCode, c.name)
			assert.Equal(t, strconv.Itoa(c.slot+1), upgrade.Header.Get("Retry-After"), c.name)

			close(release)
			harness.Shutdown(t, d, c.name)
			held.Body.Close()
			s.Close()
			assert.Equal(t, middleware.Outcomes{Completed: 1, Refused: 3}, d.Report().Outcomes, c.name)
		}
	})
}

// TestRefusalOfOneRoute drains a Graceful around one route. The rest of the router goes on as
// before.
func TestRefusalOfOneRoute(t *testing.T) {
	for _, r := range routers {
		t.Run(r.name, func(t *testing.T) {
			sources := rules{fromRoute: {}}
			d := sources.drainer(policy.Budget{})
			h := sources.serve(d, r, rewrites[0].wrap, answers)
			harness.Shutdown(t, d)
			assert.Equal(t, http.StatusServiceUnavailable, ask(t, h, http.MethodGet, path).Code)
			assert.Equal(t, http.StatusNotFound, ask(t, h, http.MethodGet, "/api/v1/others").Code)
			assert.EqualValues(t, 1, d.Report().Refused)
		})
	}
}
