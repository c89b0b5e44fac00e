package request

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// AsHTTP2 makes of a request over HTTP/1.1 what a handler of gRPC takes for one over HTTP/2, which
// can crash in a testing/synctest bubble: both sides may send at the same time, trailers are in
// HTTP/1.1, too, and to close the body ends a Read that waits. release must be called when the
// handler has returned.
func AsHTTP2(w http.ResponseWriter, r *http.Request) (release func()) {
	_ = http.NewResponseController(w).EnableFullDuplex() // net/http's writer can
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	b := &http2Body{ReadCloser: r.Body, w: w}
	r.Body = b
	return func() { _ = b.Close() }
}

// http2Body is a body whose Close doesn't wait for a Read, as that of HTTP/1.1 does.
type http2Body struct {
	io.ReadCloser
	w               http.ResponseWriter
	reading, closed atomic.Bool
}

func (b *http2Body) Read(p []byte) (int, error) {
	b.reading.Store(true)
	defer b.reading.Store(false)
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.ReadCloser.Read(p)
}

func (b *http2Body) Close() error {
	if b.closed.Store(true); b.reading.Load() {
		_ = http.NewResponseController(b.w).SetReadDeadline(time.Now())
	}
	return b.ReadCloser.Close()
}
