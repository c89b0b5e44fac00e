package zoo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

const (
	// gap is the time from the end of a process until the next one listens.
	gap = time.Second
	// back is how long after that a client may take until it is back. The longest delay that a
	// farewell names is 5 s, and some clients wait longer the more of their tries have failed.
	back = 60 * time.Second
)

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
	t.Parallel()
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
			rest(gap)
			next := start(t, "new", old.addr, secure)

			gone := z.wait(r.streams, back, func(s *seen) bool { return s.on("new") })
			assert.Empty(t, gone, "never back")
			z.checkMoves(t, r, next)
			z.checkAnswers(t, r)
			z.checkSockets(t, r)
			for _, client := range r.streams {
				proto := "HTTP/1.1"
				if secure {
					proto = "HTTP/2.0"
				}
				for _, e := range z.of(client).events {
					assert.Equal(t, proto, e.Proto, client)
				}
			}
			broken := 0
			for _, client := range r.streams {
				if s := z.of(client); len(s.events) > 0 && !s.events[0].EventSource {
					broken++
				}
			}
			assert.EqualValues(t, len(r.answers), report.Completed, "%+v", report)
			assert.EqualValues(t, broken, report.Broken, "%+v", report)
			assert.EqualValues(t, len(r.streams)+len(r.sockets), report.Told, "%+v", report)
			assert.Zero(t, report.Unanswered+report.Canceled+report.Cut, "%+v", report)
		})
	}
}

// rest returns after a time in which nothing is to happen.
func rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}
