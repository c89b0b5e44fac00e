package mcp

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"time"
)

// maxAhead is how much of a request is read before its handler is called.
const maxAhead = 1 << 20

// An ahead is what is known of a request's messages. It is the request's body, too.
type ahead struct {
	scanner scanner
	whole   bool  // all of the body has been read ahead
	err     error // of reading ahead
	session *session
	noted   int // messages that the session knows of

	io.Reader
	io.Closer
}

// maxLateAhead is how long that may take while the server drains, which goes on until then.
const maxLateAhead = 5 * time.Second

// readAheadLate is readAhead for a request that came while the server drains. Of a body that comes
// too slowly there is an error after what has come in time.
func readAheadLate(w http.ResponseWriter, r *http.Request) *ahead {
	c := http.NewResponseController(w)
	limited := c.SetReadDeadline(time.Now().Add(maxLateAhead)) == nil
	a := readAhead(r)
	if limited && a.err == nil {
		_ = c.SetReadDeadline(time.Time{})
	}
	return a
}

// readAhead reads the beginning of r's body and puts itself in its place.
func readAhead(r *http.Request) *ahead {
	a := &ahead{Reader: http.NoBody, Closer: http.NoBody, whole: true}
	if r.Body == nil {
		return a
	}
	beginning, err := io.ReadAll(io.LimitReader(r.Body, maxAhead))
	_, _ = a.scanner.Write(beginning)
	a.Reader, a.Closer = bytes.NewReader(beginning), r.Body
	if a.err = err; err != nil || len(beginning) == maxAhead {
		a.whole = a.scanner.ended
		a.Reader = io.MultiReader(a.Reader, &rest{a, r.Body})
	}
	r.Body = a
	return a
}

// hasCall reports whether one of the messages that are complete is a call.
func (a *ahead) hasCall() bool { return slices.ContainsFunc(a.scanner.found, message.isCall) }

// mayPass reports whether the request is let through while the server drains: it has no new call.
func (a *ahead) mayPass() bool {
	if slices.ContainsFunc(a.scanner.found, message.isNew) {
		return false
	}
	return a.whole || a.scanner.open && a.scanner.answers && a.scanner.current.method == ""
}

// listens returns the id of the request's call if it is the only message.
func (a *ahead) listens() string {
	if found := a.scanner.found; len(found) == 1 && found[0].method == "subscriptions/listen" {
		return found[0].id
	}
	return ""
}

// A rest is what follows the beginning that was read ahead.
type rest struct {
	ahead *ahead
	body  io.Reader
}

func (r *rest) Read(p []byte) (int, error) {
	if r.ahead.err != nil {
		return 0, r.ahead.err
	}
	n, err := r.body.Read(p)
	if s := r.ahead.session; s != nil {
		s.note(r.ahead, p[:n])
	}
	return n, err
}
