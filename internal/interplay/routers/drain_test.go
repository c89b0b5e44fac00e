package routers

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// patience bounds what has to come.
const patience = 30 * time.Second

// window is a reconnect window of so many seconds and the one after.
func window(seconds int) policy.Window {
	return policy.Window{Min: time.Duration(seconds) * time.Second, Max: time.Duration(seconds+1) * time.Second}
}

// waits is a handler that ends when it is told to, with a last word.
func waits(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "data: first\n\n")
	_ = http.NewResponseController(w).Flush()
	select {
	case <-stream.Draining(r.Context()):
	case <-r.Context().Done():
	}
	_, _ = io.WriteString(w, "data: last\n\n")
}

// ends is one that ends only when its context does.
func ends(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "data: first\n\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// deaf is one that ends only when nothing more can be written.
func deaf(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "data: first\n\n")
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for http.NewResponseController(w).Flush() == nil {
		<-tick.C
		if _, err := io.WriteString(w, ":\n"); err != nil {
			return
		}
	}
}

// of is a handler with a content type.
func of(contentType string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		h(w, r)
	}
}

// saying is a handler that first says something through stream.
func saying(word func(ctx context.Context), h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		word(r.Context())
		h(w, r)
	}
}

// drains is what a client sees of a response, by its rule, after its first event.
var drains = []struct {
	name    string
	words   words
	budget  policy.Budget
	handler http.HandlerFunc
	sees    string // a pattern
	torn    bool   // the body's end is an error
	outcome stream.Outcome
}{
	{name: "a farewell in parts", words: words{
		theDefault: {Timeout: policy.AtOnce, Reconnect: window(7)},
		theTable:   {Farewell: policy.Farewell{Event: "bye", Data: "table"}},
		theRoute:   {Farewell: policy.Farewell{Data: "come back in {retry}"}},
	}, handler: of(eventStream, ends), sees: `^retry: 7\d{3}\nevent: bye\ndata: come back in 7\d{3}\n\n$`, outcome: stream.Told},
	{name: "the innermost window", words: words{
		theDefault: {Timeout: policy.AtOnce, Reconnect: window(7)}, theTable: {Reconnect: window(6)},
		theOutside: {Reconnect: window(5)}, theRoot: {Reconnect: window(4)}, theGroup: {Reconnect: window(3)},
		theSubgroup: {Reconnect: window(2)}, theRoute: {Reconnect: window(1)},
	}, handler: of(eventStream, ends), sees: `^retry: 1\d{3}\nevent: shutdown\ndata: {"retry":1\d{3}}\n\n$`, outcome: stream.Told},
	{name: "the handler's rule", words: words{
		theRoute:   {Timeout: time.Second, Reconnect: window(1), Farewell: policy.Farewell{Event: "bye"}},
		theHandler: {Timeout: policy.AtOnce, Reconnect: window(9)},
	}, handler: of(eventStream, ends), sees: `^retry: 9\d{3}\nevent: bye\n`, outcome: stream.Told},
	{name: "the handler's farewell over its rule", words: words{
		theRoute:   {Timeout: policy.AtOnce, Farewell: policy.Farewell{Event: "bye", Data: "route"}},
		theHandler: {Farewell: policy.Farewell{Data: "handler"}},
	}, handler: of(eventStream, saying(func(ctx context.Context) {
		stream.OnFarewell(ctx, func(time.Duration) policy.Farewell { return policy.Farewell{Data: "own"} })
	}, ends)), sees: `^retry: [1-4]\d{3}\nevent: bye\ndata: own\n\n$`, outcome: stream.Told},

	{name: "an answer by tag", words: words{theTable: policy.TellComeBack(), theRoute: policy.TellStayAway()},
		handler: of(eventStream, saying(func(ctx context.Context) { stream.Tag(ctx, policy.Finite) }, waits)),
		sees:    `^data: last\n\n$`, outcome: stream.Completed},
	{name: "an answer by the route's rule", words: words{theTable: policy.TellComeBack(), theRoute: policy.LetFinish()},
		handler: of(eventStream, waits), sees: `^data: last\n\n$`, outcome: stream.Completed},
	{name: "a watch of JSON by the group's rule", words: words{theTable: policy.LetFinish(), theGroup: {Kind: policy.Infinite, Timeout: policy.AtOnce}},
		handler: of("application/json", ends), sees: `^$`, outcome: stream.Cancelled},
	{name: "a stream by tag", words: words{theTable: policy.LetFinish(), theRoute: {Timeout: policy.AtOnce}},
		handler: of("text/plain", saying(func(ctx context.Context) { stream.Tag(ctx, policy.Infinite) }, ends)),
		sees:    `^$`, outcome: stream.Cancelled},

	{name: "left alone over told at once", words: words{theTable: {Kind: policy.Infinite, Timeout: policy.AtOnce}, theRoute: policy.LeaveAlone()},
		budget:  policy.Budget{Total: 5*time.Second + 500*time.Millisecond, Reserve: 5 * time.Second},
		handler: of(eventStream, deaf), sees: `^[:\n]*$`, torn: true, outcome: stream.Cut},
	{name: "told at once over left alone", words: words{theTable: policy.LeaveAlone(), theRoute: {Grace: policy.AtOnce, Mercy: time.Second}},
		handler: of(eventStream, ends), sees: `^retry: [1-4]\d{3}\nevent: shutdown\n`, outcome: stream.Told},
	{name: "cut at once over let finish", words: words{theTable: policy.LetFinish(), theRoute: policy.CutAtOnce()},
		handler: of("text/plain", ends), sees: `^$`, torn: true, outcome: stream.Cut},
}

// TestDrains drains a response of each rule under each router, whose client sees what the rule says.
func TestDrains(t *testing.T) {
	each(t, func(t *testing.T, r router, copying wrap) {
		for _, c := range drains {
			d := c.words.drainer(c.budget)
			s := httptest.NewServer(c.words.around(d, r, copying, c.handler))
			res, err := s.Client().Get(s.URL + path)
			require.NoError(t, err, c.name)
			body := bufio.NewReader(res.Body)
			const first = "data: first\n\n"
			got, err := io.ReadAll(io.LimitReader(body, int64(len(first))))
			require.NoError(t, err, c.name)
			require.Equal(t, first, string(got), c.name)

			require.NoError(t, shutdown(t, d), c.name)
			got, err = io.ReadAll(body)
			assert.Equal(t, c.torn, err != nil, "%s: %v", c.name, err)
			assert.Regexp(t, c.sees, string(got), c.name)
			report := d.Report()
			assert.Equal(t, one(c.outcome), report.Outcomes, "%s: %+v", c.name, report)
			res.Body.Close()
			s.Close()
		}
	})
}

func shutdown(t *testing.T, d *middleware.Drainer) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return d.Shutdown(ctx)
}

// one is a report's figures where a single response ended.
func one(o stream.Outcome) (all stream.Outcomes) {
	all.Add(o)
	return all
}

// TestRefusals: who comes too late is refused by the outermost Graceful, with the rule that is known there. Those further
// in are never asked.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name  string
		words words
		slot  int // the window's first second
	}{
		{"by the table over the default", words{theDefault: {Reconnect: window(10)}, theTable: {Reconnect: window(20)}, theRoute: {Reconnect: window(50)}}, 20},
		{"by the rule from outside over the table", words{theTable: {Reconnect: window(20)}, theOutside: {Reconnect: window(30)}, theRoute: {Reconnect: window(50)}}, 30},
		{"by the router's", words{theRoot: {Reconnect: window(30)}, theGroup: {Reconnect: window(40)}}, 30},
		{"by the group's", words{theGroup: {Reconnect: window(40)}, theRoute: {Reconnect: window(50)}}, 40},
		{"by the inner group's", words{theSubgroup: {Reconnect: window(40)}, theRoute: {Reconnect: window(50)}}, 40},
		{"by the route's", words{theRoute: {Reconnect: window(50)}}, 50},
	}
	each(t, func(t *testing.T, r router, copying wrap) {
		for _, c := range tests {
			d := c.words.drainer(policy.Budget{})
			draining, release := make(chan struct{}), make(chan struct{})
			s := httptest.NewServer(c.words.around(d, r, copying, func(w http.ResponseWriter, r *http.Request) {
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

			events, body := get(t, s.URL+path, "Accept", eventStream)
			assert.Equal(t, http.StatusOK, events.StatusCode, c.name)
			assert.Equal(t, eventStream, events.Header.Get("Content-Type"), c.name)
			assert.Regexp(t, `^retry: `+strconv.Itoa(c.slot)+`\d{3}\n\n$`, body, c.name)

			upgrade, _ := get(t, s.URL+path, "Connection", "Upgrade", "Upgrade", "websocket")
			assert.Equal(t, http.StatusServiceUnavailable, upgrade.StatusCode, c.name)
			assert.Equal(t, strconv.Itoa(c.slot+1), upgrade.Header.Get("Retry-After"), c.name)

			close(release)
			require.NoError(t, shutdown(t, d), c.name)
			held.Body.Close()
			s.Close()
			assert.Equal(t, stream.Outcomes{Completed: 1, Refused: 3}, d.Report().Outcomes, c.name)
		}
	})
}

// TestRouteAloneIsRefused: a Graceful around one route leaves the rest of the router to itself, in a drain too.
func TestRouteAloneIsRefused(t *testing.T) {
	for _, r := range routers {
		t.Run(r.name, func(t *testing.T) {
			said := words{theRoute: {}}
			d := said.drainer(policy.Budget{})
			h := said.around(d, r, copying[0].wrap, answers)
			require.NoError(t, shutdown(t, d))
			assert.Equal(t, http.StatusServiceUnavailable, ask(t, h, http.MethodGet, path).Code)
			assert.Equal(t, http.StatusNotFound, ask(t, h, http.MethodGet, "/api/v1/others").Code)
			assert.EqualValues(t, 1, d.Report().Refused)
		})
	}
}
