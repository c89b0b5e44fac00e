package zoo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

const (
	// gap is the time from the end of a process until the next one listens.
	gap = time.Second
	// back is how long after that a client may take until it is back. The longest delay that a
	// farewell names is 5 s, and some clients wait longer the more of their tries have failed.
	back = 20 * time.Second
)

// forgetful are the clients that come back with the Last-Event-ID of the stream that they had last, and
// so with none after a refusal, which has no id.
var forgetful = map[string]bool{"MCP go-sdk": true}

// A zoo is what its clients have to know.
type zoo struct {
	*collector
	addr   string
	secure bool // HTTP/2 over TLS, by the clients that can
}

func (z zoo) url(path string) string {
	if z.secure {
		return "https://" + z.addr + path
	}
	return "http://" + z.addr + path
}

// The residents of a zoo are the names of its clients, by what they are connected to.
type residents struct {
	streams []string
	answers []string
	sockets []string
}

func (r *residents) add(more residents) {
	r.streams = append(r.streams, more.streams...)
	r.answers = append(r.answers, more.answers...)
	r.sockets = append(r.sockets, more.sockets...)
}

// TestRoll has all clients go through one roll for each protocol.
func TestRoll(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name := "HTTP1"
		if secure {
			name = "HTTP2"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := start(t, "old", "127.0.0.1:0", secure)
			z := zoo{newCollector(t), old.addr, secure}
			var r residents
			r.add(z.goClients(t))
			r.add(z.nodeClients(t))
			r.add(z.chromium(t))
			if !secure {
				r.add(z.firefox(t))
			}

			z.ready(t, r)
			z.ask(t, r)
			report := old.stop(t)
			t.Logf("drained in %v: %+v", old.took.Round(time.Millisecond), report)
			pause := time.NewTimer(gap)
			defer pause.Stop()
			<-pause.C
			z.checkRoll(t, r, start(t, "new", old.addr, secure))

			assert.EqualValues(t, len(r.streams)+len(r.sockets), report.Told, "%+v", report)
			assert.Zero(t, report.Unanswered+report.Canceled+report.Cut, "%+v", report)
		})
	}
}

// checkRoll checks what all clients have got.
func (z zoo) checkRoll(t *testing.T, r residents, next *process) {
	t.Helper()
	gone := z.wait(r.streams, back, func(s *seen) bool { _, _, ok := s.after("old"); return ok })
	assert.Empty(t, gone, "never back")
	z.checkAnswers(t, r)
	z.checkSockets(t, r)

	table := new(strings.Builder)
	fmt.Fprintln(table, "| client | back after the new process listened, ms | without an event for, ms |\n| --- | --- | --- |")
	for _, client := range r.streams {
		s := z.of(client)
		last, first, ok := s.after("old")
		if !ok {
			fmt.Fprintf(table, "| %s | never | |\n", client)
			continue
		}
		fmt.Fprintf(table, "| %s | %d | %d |\n", client,
			first.at.Sub(next.listened).Milliseconds(), first.at.Sub(last.at).Milliseconds())
		if first.Last != "" || !forgetful[client] {
			assert.Equal(t, last.id(), first.Last, "%s: Last-Event-ID", client)
		}
		assert.Equal(t, 1, first.N, "%s: its first event", client)
		proto := "HTTP/1.1"
		if z.secure {
			proto = "HTTP/2.0"
		}
		assert.Equal(t, proto, first.Proto, client)
	}
	t.Logf("\n%s", table)
}
