package r3labs

import (
	"maps"
	"net/http"
)

// An outlet is the http.ResponseWriter that the library gets. What it writes goes to the handler's
// goroutine with each Flush, an event at a time; once that has gone, nowhere.
type outlet struct {
	gone    chan struct{}
	batches chan batch

	// owned by the library's goroutine, and by the handler's when that has ended
	header http.Header
	status int // to be sent; zero: it has been
	body   []byte
	spare  []byte // of the batch before
}

// A batch is what one Flush has to send.
type batch struct {
	header http.Header
	status int // zero: none, it has been sent
	body   []byte
}

func newOutlet(header http.Header) *outlet {
	return &outlet{gone: make(chan struct{}), batches: make(chan batch), header: header.Clone(), status: http.StatusOK}
}

func (o *outlet) Header() http.Header { return o.header }

func (o *outlet) WriteHeader(status int) { o.status = status }

// Write takes each line of an event in a call of its own. An empty id, which the library writes
// where it numbers no events, would make the client forget the last one that it had (WHATWG HTML
// 9.2.6).
func (o *outlet) Write(p []byte) (int, error) {
	if string(p) != "id: \n" {
		o.body = append(o.body, p...)
	}
	return len(p), nil
}

// Flush hands over what was written. Whoever receives it has sent the batch before, so that its
// memory is free.
func (o *outlet) Flush() {
	b := o.take()
	o.body, o.spare = o.spare[:0], b.body
	select {
	case o.batches <- b:
	case <-o.gone:
	}
}

func (o *outlet) take() batch {
	b := batch{o.header, o.status, o.body}
	o.status = 0
	return b
}

func (b batch) send(w http.ResponseWriter) error {
	if b.status != 0 {
		clear(w.Header())
		maps.Copy(w.Header(), b.header)
		w.WriteHeader(b.status)
	}
	if len(b.body) == 0 {
		return nil
	}
	_, err := w.Write(b.body)
	return err
}
