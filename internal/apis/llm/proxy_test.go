package llm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/apis/rig"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/stream"
)

// Proxies with lastcall stand in front of a back end with lastcall, whose answers are event streams
// over GET that only its handler knows to end. Each of the servers in the row drains, in rounds of
// its own: no answer that has begun is broken off.
func TestProxy(t *testing.T) {
	for _, name := range []string{"the back end", "the proxy", "the proxy in front"} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s drains, HTTP/2 %t", name, h2), func(t *testing.T) {
				t.Parallel()
				rig.Rounds(t, func(r *rig.Round) { proxyRound(r, name, h2) })
			})
		}
	}
}

func proxyRound(r *rig.Round, drains string, h2 bool) {
	m := newModel(r)
	backEnd, h := m.server("first")
	row := []*rig.Server{rig.Serve(r, r.Host+":0", &middleware.Drainer{Policy: soon}, h)}
	for range 2 {
		row = append(row, rig.Serve(r, r.Host+":0", &middleware.Drainer{Policy: soon}, proxy(r, row[len(row)-1].Addr, h2)))
	}
	front := row[2]
	at := map[string]int{"the back end": 0, "the proxy": 1, "the proxy in front": 2}[drains]

	ctx, cancel := context.WithTimeout(context.Background(), rig.Limit)
	defer cancel()
	transport := rig.Transport(r, h2)
	var clients sync.WaitGroup
	for i := range calls {
		call, begins := fmt.Sprint("c", i), r.Moment(during)
		clients.Go(func() {
			rig.Pause(begins, nil)
			var answer string
			err := again(ctx, func() (err error) {
				answer, err = get(ctx, transport, "http://"+front.Addr+"/answer?call="+call)
				if err != nil && answer != "" {
					r.Errorf("%s: broken off after %q: %v", call, answer, err)
				}
				return err
			})
			assert.NoError(r, err, call)
			assert.Equal(r, []string{answer}, m.answers(call), "%s: what was produced for it is what it got", call)
		})
	}
	rig.Pause(r.Moment(during), nil)
	report := row[at].Drain(r)
	assert.Zero(r, report.Told+report.Canceled+report.Cut, "%s: %+v", drains, report)

	// The next one takes its place.
	switch at {
	case 0:
		_, h = m.server("second")
	default:
		h = proxy(r, row[at-1].Addr, h2)
	}
	next := rig.Serve(r, row[at].Addr, &middleware.Drainer{Policy: soon}, h)
	clients.Wait()
	// From the front on, so that nobody is told who is only behind one that was.
	for _, s := range []*rig.Server{front, row[1], row[0], next} {
		s.Begin()
	}
	if at == 0 {
		assert.EqualValues(r, backEnd.arrived.Load(), report.Completed+report.Before.Completed)
	}
}

// proxy returns a proxy to addr.
func proxy(r *rig.Round, addr string, h2 bool) http.Handler {
	return &httputil.ReverseProxy{
		Transport: rig.Transport(r, h2),
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: addr}) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(context.Cause(r.Context()), stream.ErrDraining) {
				return
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
}

var errRefused = errors.New("told to come back before anything was said")

// get returns the tokens of an answer, and an error if that isn't whole.
func get(ctx context.Context, t http.RoundTripper, url string) (answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := t.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s", res.Status)
	}
	done := false
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		data, isData := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case lines.Text() == "event: done":
			done = true
		case isData && !done:
			answer += data
		}
	}
	if !done {
		return answer, errors.Join(errRefused, lines.Err())
	}
	return answer, lines.Err()
}
