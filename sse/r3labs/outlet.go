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
	header http.Header
	status int // zero: it was sent
	body   []byte
	unused []byte // the memory of the last batch's body
}

// A batch is what one Flush has to send.
type batch struct {
	header http.Header
	status int // zero: it was sent
	body   []byte
}

func newOutlet(header http.Header) *outlet {
	return &outlet{gone: make(chan struct{}), batches: make(chan batch), header: header.Clone(), status: http.StatusOK}
}

func (o *outlet) Header() http.Header { return o.header }

func (o *outlet) WriteHeader(status int) { o.status = status }

// Write is called for each line of an event. It leaves out an empty id, which the library writes if
// it numbers no events: the client would forget its last event ID (WHATWG HTML 9.2.6).
func (o *outlet) Write(p []byte) (int, error) {
	if string(p) != "id: \n" {
		o.body = append(o.body, p...)
	}
	return len(p), nil
}

// Flush sends what was written. Whoever receives it has written the last batch, whose memory is
// free.
func (o *outlet) Flush() {
	b := o.take()
	o.body, o.unused = o.unused[:0], b.body
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
