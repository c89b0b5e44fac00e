package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// speech is what every answer says, over and over until it is as long as requested. It has 50
// tokens.
var speech = strings.Fields(`A server that stops has clients of two kinds. Some leave by themselves, and
	it waits for them: a download, this answer. The others would stay for ever, so it tells each, in its
	own language, when to come back, never all at once. Then it turns out the lights.`)

// answer types itself, token by token, the way a language model answers: an event stream, yet a
// finite one, which its header alone can't show.
func answer(w http.ResponseWriter, r *http.Request) {
	q := query(r)
	tokens := q.integer("tokens", 50, 1, 100_000)
	delay := q.duration("delay", 100*time.Millisecond, 0, time.Minute)
	if q.refused(w) {
		return
	}
	stream.Tag(r.Context(), policy.Finite)

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	for i := range tokens {
		if !pause(r, delay) {
			return
		}
		token := encode(map[string]string{"token": speech[i%int64(len(speech))] + " "})
		if _, err := fmt.Fprintf(w, "data: %s\n\n", token); err != nil || control.Flush() != nil {
			return
		}
	}
	fmt.Fprintf(w, "event: done\ndata: {\"tokens\":%d}\n\n", tokens)
}

// pause waits for d and reports whether it got so far before r's context ended.
func pause(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
