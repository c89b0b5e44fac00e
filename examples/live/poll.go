package main

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/stream"
)

const pollLimit = 5 * time.Minute

// poll waits for the next message in the chat. A drain ends the wait, so that the client gets an
// answer, and asks the next server, instead of holding up this one.
func (c *chat) poll(w http.ResponseWriter, r *http.Request) {
	q := query(r)
	wait := q.duration("wait", 30*time.Second, 0, pollLimit)
	if q.refused(w) {
		return
	}
	m := c.join(false)
	defer c.leave(m)
	timeout := time.NewTimer(wait)
	defer timeout.Stop()

	var news struct {
		Event    json.RawMessage `json:"event"` // null: nothing was said
		Draining bool            `json:"draining"`
	}
	select {
	case news.Event = <-m.heard:
	case <-timeout.C:
	case <-stream.Draining(r.Context()):
		news.Draining = true
	case <-r.Context().Done():
		return // the client has gone, or the request was canceled
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(encode(news), '\n'))
}
