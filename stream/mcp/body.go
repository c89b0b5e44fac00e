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

// maxLateAhead is how long that may take while the server drains, which goes on until then.
const maxLateAhead = 5 * time.Second

// A postBody is the body of a POST whose beginning was read before its handler is called.
type postBody struct {
	io.Reader // the beginning, and then the rest
	io.Closer

	scanner scanner     // of the beginning, and where there is a session, of the rest
	whole   bool        // all messages were in the beginning
	session *sseSession // that notes the calls; nil: none does
	noted   int         // how many of the scanner's messages the session has looked at
}

// readAhead reads the beginning of r's body, and makes a postBody r's body. If the request came
// late, while the server drains, it reads for maxLateAhead at most: of a body that comes too slowly
// there is an error after what has come in time.
func readAhead(w http.ResponseWriter, r *http.Request, late bool) *postBody {
	b := &postBody{Reader: http.NoBody, Closer: http.NoBody, whole: true}
	if r.Body == nil {
		return b
	}
	c := http.NewResponseController(w)
	limited := late && c.SetReadDeadline(time.Now().Add(maxLateAhead)) == nil
	beginning, err := io.ReadAll(io.LimitReader(r.Body, maxAhead))
	if limited && err == nil {
		_ = c.SetReadDeadline(time.Time{})
	}
	_, _ = b.scanner.Write(beginning)
	b.Reader, b.Closer = bytes.NewReader(beginning), r.Body
	var rest io.Reader
	switch {
	case err != nil:
		rest = failedReader{err}
	case len(beginning) == maxAhead:
		rest = io.TeeReader(r.Body, b)
	}
	if rest != nil {
		b.whole = b.scanner.ended
		b.Reader = io.MultiReader(b.Reader, rest)
	}
	r.Body = b
	return b
}

// Write is given the rest of the body as the handler reads it.
func (b *postBody) Write(p []byte) (int, error) {
	if b.session != nil {
		b.session.noteCalls(b, p)
	}
	return len(p), nil
}

// hasCall reports whether one of the messages that are complete is a call.
func (b *postBody) hasCall() bool { return slices.ContainsFunc(b.scanner.found, message.isCall) }

// mayPass reports whether the request is let through while the server drains: it has no new call.
// Of a body that wasn't read whole, that is known only once the message that goes on in the rest
// has shown that it is an answer.
func (b *postBody) mayPass() bool {
	if slices.ContainsFunc(b.scanner.found, message.isNewCall) {
		return false
	}
	return b.whole || b.scanner.open && b.scanner.answers && b.scanner.current.method == ""
}

// subscriptionID returns the id of the request's call if that is a subscription and the only
// message. Otherwise it returns the empty string.
func (b *postBody) subscriptionID() string {
	if found := b.scanner.found; len(found) == 1 && found[0].method == "subscriptions/listen" {
		return found[0].id
	}
	return ""
}

// A failedReader is the rest of a body whose Read has failed with this error.
type failedReader struct{ error }

func (r failedReader) Read([]byte) (int, error) { return 0, r.error }
