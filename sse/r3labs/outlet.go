package r3labs

import (
	"maps"
	"net/http"
)

// An outlet is the http.ResponseWriter that the library gets. Flush, which the library calls after
// each event, sends what was written to the handler's goroutine.
type outlet struct {
	gone    chan struct{} // closed when the handler's goroutine receives no more
	batches chan batch

	// The library's goroutine uses these, and when it has ended, the handler's.
	next   batch  // what was written since the last Flush
	unused []byte // the memory of the last batch's body
}

// A batch is what one Flush has to send.
type batch struct {
	header http.Header
	status int // zero: it was sent
	body   []byte
}

func newOutlet(header http.Header) *outlet {
	next := batch{header: header.Clone(), status: http.StatusOK}
	return &outlet{gone: make(chan struct{}), batches: make(chan batch), next: next}
}

func (o *outlet) Header() http.Header { return o.next.header }

func (o *outlet) WriteHeader(status int) { o.next.status = status }

// Write is called for each line of an event. It leaves out an empty id, which the library writes if
// it numbers no events: the client would forget its last event ID (WHATWG HTML 9.2.6).
func (o *outlet) Write(p []byte) (int, error) {
	if string(p) != "id: \n" {
		o.next.body = append(o.next.body, p...)
	}
	return len(p), nil
}

// Flush sends what was written. Once it has been received, the batch before it has been written to
// the client, and its memory is free.
func (o *outlet) Flush() {
	b := o.next
	o.next = batch{header: b.header, body: o.unused[:0]}
	o.unused = b.body
	select {
	case o.batches <- b:
	case <-o.gone:
	}
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
