package mcp

import (
	"net/http"
	"sync"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
)

// A flusher is a writer around another one, with the methods besides those of an
// [http.ResponseWriter] that handlers look for.
type flusher struct{ http.ResponseWriter }

// Unwrap is for [http.ResponseController].
func (f flusher) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// Flush implements [http.Flusher].
func (f flusher) Flush() { _ = f.FlushError() }

// FlushError is for [http.ResponseController].
func (f flusher) FlushError() error { return http.NewResponseController(f.ResponseWriter).Flush() }

// CloseNotify implements [http.CloseNotifier], without which gin's Context.Stream panics.
func (f flusher) CloseNotify() <-chan bool {
	for w := f.ResponseWriter; ; {
		//lint:ignore SA1019 gin waits for it
		if n, ok := w.(http.CloseNotifier); ok {
			return n.CloseNotify()
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return make(chan bool)
		}
		w = u.Unwrap()
	}
}

// A statusWriter knows the status of a reply.
type statusWriter struct {
	flusher
	status int // zero: nothing was written, which net/http takes for 200
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status < 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// A streamWriter writes the answer to a GET. If that is an HTTP+SSE stream, which it knows by its
// first event, endpoint, with the address that its client posts to, it looks for results in it.
type streamWriter struct {
	flusher
	calls    *Calls
	response *tracked.Response

	mu      sync.Mutex // guards following; held while writing, as net/http's own writers hold theirs
	events  eventScanner
	begun   bool        // something has been written
	foreign bool        // the answer is no HTTP+SSE stream, and isn't followed
	session *sseSession // nil before the first event
	pending []byte      // events of ours that wait for the end of one of the handler's
}

func (w *streamWriter) Write(p []byte) (int, error) {
	n, answered, err := w.write(p)
	for _, id := range answered {
		w.session.endCall(id)
	}
	return n, err
}

func (w *streamWriter) write(p []byte) (n int, answered []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.begun {
		w.begun = true
		body, _, _ := format.Recognize(w.Header())
		w.foreign = body == nil || body.Name() != format.SSE
	}
	if w.foreign {
		n, err = w.ResponseWriter.Write(p)
		return n, nil, err
	}
	for _, c := range p {
		if event, ok := w.events.writeByte(c); ok && !w.foreign {
			answered = append(answered, w.eventLocked(event)...)
		}
	}
	n, err = w.ResponseWriter.Write(p)
	w.writePendingLocked()
	return n, answered, err
}

// insert writes events of ours between two of the handler's.
func (w *streamWriter) insert(events []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = append(w.pending, events...)
	w.writePendingLocked()
}

func (w *streamWriter) writePendingLocked() {
	if len(w.pending) > 0 && w.events.betweenEvents() {
		_, _ = w.ResponseWriter.Write(w.pending)
		w.Flush()
		w.pending = nil
	}
}

// eventLocked looks at an event of the handler's that is about to be written, and returns the ids
// of the calls that it answers.
func (w *streamWriter) eventLocked(e event) (answered []string) {
	if w.session == nil {
		if e.name != "endpoint" {
			w.foreign = true
			return nil
		}
		w.session = &sseSession{response: w.response, stream: w}
		w.calls.addSession(e.data, w.session)
		setFarewell(w.response)
		return nil
	}
	for _, m := range e.messages {
		if m.isAnswer() {
			answered = append(answered, m.id)
		}
	}
	return answered
}

// close ends the session when the stream's handler has returned.
func (w *streamWriter) close() {
	if w.session != nil {
		w.calls.sessions.CompareAndDelete(w.session.key, w.session)
	}
}

// An event is one of an event stream (WHATWG HTML 9.2.6) that has data.
type event struct {
	name     string    // its first maxToken bytes
	data     string    // its first maxToken bytes
	messages []message // that its data is, of any length
}

// An eventScanner follows the bytes of an event stream. The zero eventScanner is at its beginning.
type eventScanner struct {
	field      []byte // the name of the line's field, its first maxToken bytes
	inValue    bool   // the line's colon has come
	valueBegun bool   // and a byte after it
	afterCR    bool   // an LF would belong to the CR before it
	hasData    bool   // the event has a field data
	name, data []byte // of the event, the first maxToken bytes each
	message    scanner
}

// betweenEvents reports whether another event may be written here.
func (s *eventScanner) betweenEvents() bool {
	return !s.hasData && len(s.name) == 0 && len(s.field) == 0 && !s.inValue
}

// writeByte follows one byte, and returns the event that is complete with it, if any.
func (s *eventScanner) writeByte(c byte) (e event, complete bool) {
	afterCR := s.afterCR
	s.afterCR = c == '\r'
	switch {
	case c == '\n' && afterCR:
	case c == '\n' || c == '\r':
		return s.endLine()
	case !s.inValue && c == ':':
		s.inValue = true
		s.beginValue()
	case !s.inValue:
		s.field = appendToken(s.field, c)
	case !s.valueBegun && c == ' ':
		s.valueBegun = true
	default:
		s.valueBegun = true
		s.writeValue(c)
	}
	return event{}, false
}

// appendToken appends c to b, unless that has maxToken bytes already.
func appendToken(b []byte, c byte) []byte {
	if len(b) < maxToken {
		b = append(b, c)
	}
	return b
}

func (s *eventScanner) beginValue() {
	switch string(s.field) {
	case "event":
		s.name = s.name[:0]
	case "data":
		if s.hasData {
			s.writeValue('\n')
		}
		s.hasData = true
	}
}

func (s *eventScanner) writeValue(c byte) {
	switch string(s.field) {
	case "event":
		s.name = appendToken(s.name, c)
	case "data":
		s.data = appendToken(s.data, c)
		s.message.writeByte(c)
	}
}

func (s *eventScanner) endLine() (e event, complete bool) {
	if len(s.field) > 0 || s.inValue {
		if !s.inValue {
			s.beginValue() // a field without a colon has an empty value
		}
		s.field, s.inValue, s.valueBegun = s.field[:0], false, false
		return event{}, false
	}
	if s.hasData {
		e, complete = event{string(s.name), string(s.data), s.message.found}, true
	}
	s.hasData, s.name, s.data, s.message = false, s.name[:0], s.data[:0], scanner{}
	return e, complete
}
