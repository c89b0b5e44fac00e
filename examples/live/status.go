package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A status is how the server stands at one moment: what the page and the terminal show of a drain.
// Times are in milliseconds, for JavaScript.
type status struct {
	By      string         `json:"by"`      // "lastcall" or "net/http"
	Started int64          `json:"started"` // Unix time; tells one process from the next
	Phase   string         `json:"phase"`   // "serving" while no drain has begun
	Final   bool           `json:"final"`   // the process ends with this drain
	Budget  int64          `json:"budget"`  // of the whole drain
	Left    int64          `json:"left"`    // of the budget
	Found   kinds          `json:"found"`   // open when the drain began
	Open    kinds          `json:"open"`    // open now
	Ended   []outcomeCount `json:"ended"`   // how responses ended since the drain began
}

// kinds counts responses by what they are.
type kinds struct {
	Finite    int `json:"finite"`
	SSE       int `json:"sse"`
	WebSocket int `json:"websocket"`
	Other     int `json:"other"`
}

func (k kinds) all() int { return k.Finite + k.SSE + k.WebSocket + k.Other }

// String returns the kinds of which there are any, as in "20 finite, 80 sse".
func (k kinds) String() string {
	var parts []string
	for _, kind := range []struct {
		name string
		n    int
	}{{"finite", k.Finite}, {"sse", k.SSE}, {"websocket", k.WebSocket}, {"other", k.Other}} {
		if kind.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", kind.n, kind.name))
		}
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// An outcomeCount is a number of responses with the same outcome.
type outcomeCount struct {
	Outcome string `json:"outcome"`
	Count   int    `json:"count"`
}

// started is when this process began, as [status] has it.
var started = time.Now().UnixMilli()

// serveStatus answers with the status as JSON. Like the page it is not part of what is drained. It
// is asked again and again: a stream of it would be one more connection that the server has to end.
func serveStatus(now func() status) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(append(encode(now()), '\n'))
	})
}
