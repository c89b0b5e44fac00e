package zoo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A report is what a client says of what it has got: one of the pointers is set, or Begun.
type report struct {
	Client string  `json:"client"`
	Event  *event  `json:"event"`
	Begun  bool    `json:"begun"` // five parts of the answer are here, or the WebSocket has echoed
	Answer *answer `json:"answer"`
	Close  *closed `json:"close"`
}

type (
	// An event of one of the streams of the server.
	event struct {
		Process string `json:"process"`
		N       int    `json:"n"`
		Last    string `json:"last"`  // the Last-Event-ID of the stream's request
		Proto   string `json:"proto"` // of that request
		// EventSource says that the request is taken for an EventSource's, whose stream ends clean,
		// or is one of MCP, whose does so too.
		EventSource bool `json:"eventSource"`

		at time.Time
	}
	// An answer has ended.
	answer struct {
		Parts int    `json:"parts"`
		Error string `json:"error"`
	}
	// A closed is the close event of a WebSocket in JavaScript.
	closed struct {
		Code     int    `json:"code"`
		Reason   string `json:"reason"`
		WasClean bool   `json:"wasClean"`
	}
)

func (e event) id() string { return fmt.Sprintf("%s-%d", e.Process, e.N) }

// A seen is what a client has reported so far.
type seen struct {
	events []event
	begun  bool
	answer *answer
	close  *closed
}

// on reports whether the last event is of one of the processes.
func (s *seen) on(processes ...string) bool {
	return len(s.events) > 0 && slices.Contains(processes, s.events[len(s.events)-1].Process)
}

// A move is from the last event of one stream to the first of the next.
type move struct{ last, first event }

func (s *seen) moves() (moves []move) {
	for i, e := range s.events {
		if i > 0 && (e.N == 1 || e.Process != s.events[i-1].Process) {
			moves = append(moves, move{s.events[i-1], e})
		}
	}
	return moves
}

// A collector is told by all clients of a test what they get, in the same process or by HTTP.
type collector struct {
	url string
	cue chan struct{} // closed for the clients to ask for their answers

	mu      sync.Mutex
	seen    map[string]*seen
	changed chan struct{} // closed by the next report
}

func newCollector(t *testing.T) *collector {
	c := &collector{cue: make(chan struct{}), seen: make(map[string]*seen), changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cue", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		select {
		case <-c.cue:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /reports", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		var reports []report
		if err := json.NewDecoder(r.Body).Decode(&reports); err == nil { // else the page was closed
			c.report(reports...)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *collector) report(reports ...report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range reports {
		s := c.seen[r.Client]
		if s == nil {
			s = new(seen)
			c.seen[r.Client] = s
		}
		s.begun = s.begun || r.Begun
		if r.Event != nil {
			r.Event.at = time.Now()
			s.events = append(s.events, *r.Event)
		}
		if r.Answer != nil {
			s.answer = r.Answer
		}
		if r.Close != nil {
			s.close = r.Close
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// event reports an event, by its data.
func (c *collector) event(client string, data []byte) {
	e := new(event)
	if json.Unmarshal(data, e) == nil && e.Process != "" { // else it is the farewell
		c.report(report{Client: client, Event: e})
	}
}

// wait waits until the condition holds for what each client has reported, or for as long as it is
// patient, and returns those for which it doesn't hold.
func (c *collector) wait(clients []string, patience time.Duration, condition func(*seen) bool) (missing []string) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		c.mu.Lock()
		missing = nil
		for _, client := range clients {
			if s := c.seen[client]; s == nil || !condition(s) {
				missing = append(missing, client)
			}
		}
		changed := c.changed
		c.mu.Unlock()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return missing
		}
	}
}

// need fails the test now if the condition doesn't come to hold for each client.
func (c *collector) need(t *testing.T, clients []string, what string, condition func(*seen) bool) {
	t.Helper()
	if missing := c.wait(clients, limit, condition); missing != nil {
		require.FailNow(t, "not "+what+": "+strings.Join(missing, ", "))
	}
}

// of returns a copy of what a client has reported so far.
func (c *collector) of(client string) seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.seen[client]; s != nil {
		return *s
	}
	return seen{}
}

func (c *collector) ready(t *testing.T, r residents) {
	t.Helper()
	c.need(t, r.streams, "connected", func(s *seen) bool { return len(s.events) >= 3 })
	c.need(t, r.sockets, "connected", func(s *seen) bool { return s.begun })
}

// ask has the clients ask for their answers, and waits until all of them have begun.
func (c *collector) ask(t *testing.T, r residents) {
	t.Helper()
	close(c.cue)
	c.need(t, r.answers, "answered", func(s *seen) bool { return s.begun || s.answer != nil })
}

// checkMoves checks that every client came back with the id of the last event that it had got, and
// logs how the stream ended and when it came back. The process is the one that all of them came
// back to, if it is only one.
func (c *collector) checkMoves(t *testing.T, r residents, to *process) {
	t.Helper()
	table := new(strings.Builder)
	for _, client := range r.streams {
		s := c.of(client)
		for _, m := range s.moves() {
			ending := "broken"
			if m.last.EventSource {
				ending = "clean"
			}
			fmt.Fprintf(table, "\n| %s | %s to %s | %s | %d ms |", client, m.last.Process, m.first.Process, ending,
				m.first.at.Sub(m.last.at).Milliseconds())
			if to != nil {
				fmt.Fprintf(table, " %d ms |", m.first.at.Sub(to.listened).Milliseconds())
			}
			assert.Equal(t, 1, m.first.N, "%s: its first event", client)
			assert.Equal(t, m.last.id(), m.first.Last, "%s: Last-Event-ID", client)
		}
	}
	t.Logf("the time without an event, and since the new process listens:%s", table)
}

// checkAnswers checks that every answer has come whole.
func (c *collector) checkAnswers(t *testing.T, r residents) {
	t.Helper()
	missing := c.wait(r.answers, limit, func(s *seen) bool { return s.answer != nil })
	assert.Empty(t, missing, "their answers never end")
	for _, client := range r.answers {
		if s := c.of(client); s.answer != nil {
			assert.Equal(t, answer{Parts: 50}, *s.answer, client)
		}
	}
}

// checkSockets checks that every WebSocket was closed as its farewell says.
func (c *collector) checkSockets(t *testing.T, r residents) {
	t.Helper()
	missing := c.wait(r.sockets, limit, func(s *seen) bool { return s.close != nil })
	assert.Empty(t, missing, "they are never closed")
	for _, client := range r.sockets {
		if s := c.of(client); s.close != nil {
			assert.Equal(t, 1012, s.close.Code, client)
			assert.True(t, s.close.WasClean, "%s: wasClean of %+v", client, *s.close)
		}
	}
}
