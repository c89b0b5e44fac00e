package interplay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// TestCapacity drains many event streams at once, one in a hundred of them stuck in a write to a client that reads
// nothing. All others are told, each in its slot, and end clean right behind; the stuck ones are cut at their deadlines.
func TestCapacity(t *testing.T) {
	const (
		spread = 2 * time.Second
		mercy  = time.Second
		slack  = 500 * time.Millisecond // for a machine that has better to do
	)
	clients := number(t, "LASTCALL_CLIENTS", 1000)
	stuck := max(1, clients/100)
	healthy := clients - stuck

	d := &middleware.Drainer{Policy: policy.Rule{Spread: spread, Timeout: policy.AtOnce, Mercy: mercy}}
	returned := make(chan time.Time, stuck) // of the handlers that were stuck
	s := serveOn(t, protocols[0], middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stuck" {
			flood(w)
			returned <- time.Now()
			return
		}
		tick(w, r)
	})), func(l net.Listener) net.Listener { return narrow{l} })

	for range stuck {
		c := ask(t, s, "/stuck")
		defer c.Close()
	}
	m := &moment{now: make(chan struct{}), clients: healthy}
	seen := make([]struct{ told, ended time.Time }, healthy)
	var following sync.WaitGroup
	for i := range seen {
		c := ask(t, s, "/")
		following.Go(func() {
			defer c.Close()
			res, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
			if !assert.NoError(t, err) {
				return
			}
			first := sync.OnceFunc(func() { m.note(1, 0) })
			e, err := follow(res.Body, func() { first(); seen[i].told = time.Now() }) // the last is what stays
			seen[i].ended = time.Now()
			assert.NoError(t, err, "whole events and a clean end")
			assert.True(t, e.told)
		})
	}
	m.wait(t)
	began := time.Now()
	shutdown(t, d)
	following.Wait()
	report := d.Report()

	slices.SortFunc(seen, func(a, b struct{ told, ended time.Time }) int { return a.told.Compare(b.told) })
	var off, lag time.Duration // the most that a farewell came off an even pace, and that an end came after it
	for i, one := range seen {
		off = max(off, (one.told.Sub(began) - spread*time.Duration(i)/time.Duration(healthy)).Abs())
		lag = max(lag, one.ended.Sub(one.told))
	}
	assert.Less(t, off, slack, "off the pace")
	assert.Less(t, lag, slack, "from farewell to end")
	assert.EqualValues(t, healthy, report.Told)
	assert.EqualValues(t, stuck, report.Cut)
	for range stuck {
		freed := (<-returned).Sub(began)
		assert.GreaterOrEqual(t, freed, mercy)
		assert.Less(t, freed, spread+mercy+slack)
	}
	assert.Less(t, report.Took, spread+mercy+slack)
	t.Logf("%d told, %d cut in %v; farewells %v off the pace at most, and %v before the end", healthy, stuck,
		report.Took.Round(time.Millisecond), off.Round(time.Millisecond), lag.Round(time.Millisecond))
}

// narrow makes connections that hold little, so that who writes to a peer that doesn't read is soon stuck.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(16 << 10)
	}
	return c, err
}

// ask sends a request, and reads nothing.
func ask(t *testing.T, s *site, path string) net.Conn {
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).SetReadBuffer(16<<10))
	_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: capacity\r\nAccept: text/event-stream\r\n\r\n", path)
	require.NoError(t, err)
	return c
}

// tick writes an event a second.
func tick(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for n := 0; ; n++ {
		if _, err := fmt.Fprintf(w, "data: %s\n\n", payload(n, 20)); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

// flood writes until it can't.
func flood(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	event := "data: " + strings.Repeat("x", 1<<16) + "\n\n"
	for {
		if _, err := io.WriteString(w, event); err != nil {
			return
		}
	}
}
