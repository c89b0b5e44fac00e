package middleware_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A resetWriter is net/http's writer for HTTP/2 as far as resets go: a write deadline resets the
// stream, at once where it is past.
type resetWriter struct {
	http.ResponseWriter
	mu       sync.Mutex // guards following
	timer    *time.Timer
	resets   int
	late     int       // by deadlines that are now: they come in a moment, in front of that of a panic or behind it
	written  time.Time // the last byte
	unsent   int       // bytes since the last flush
	flushErr error
}

func (w *resetWriter) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resets++
}

func (w *resetWriter) SetReadDeadline(time.Time) error { return nil }

func (w *resetWriter) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch until := time.Until(t); {
	case until == 0:
		w.late++
		return nil
	case until < 0:
		w.resets++
		return nil
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	w.timer = time.AfterFunc(time.Until(t), w.reset)
	return nil
}

func (w *resetWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written, w.unsent = time.Now(), w.unsent+len(p)
	return w.ResponseWriter.Write(p)
}

func (w *resetWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unsent = 0
	return w.flushErr
}

func (w *resetWriter) Flush() { _ = w.FlushError() }

// drainOverHTTP2 drains while the handler runs. It returns with what the handler panicked.
func drainOverHTTP2(t *testing.T, d *middleware.Drainer, w *resetWriter, method string, handle http.HandlerFunc) (panicked any) {
	w.ResponseWriter = httptest.NewRecorder()
	r := httptest.NewRequestWithContext(context.Background(), method, "https://memory/", nil)
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	over := make(chan any, 1)
	go func() {
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.timer != nil {
				w.timer.Stop() // with its stream
			}
			over <- recover()
		}()
		middleware.Graceful(d)(handle).ServeHTTP(w, r)
	}()
	synctest.Wait()
	require.NoError(t, d.Shutdown(context.Background()))
	return <-over
}

// begin begins an event stream, or answers a POST with one that is finite.
func begin(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: 1\n\n")
	_ = http.NewResponseController(w).Flush()
}

// Over HTTP/2 a stream that is broken off has one RST_STREAM (RFC 9113, section 5.1), though the
// deadline, the cut and the panic could each make one.
func TestOneReset(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		rule   policy.Rule
		handle func(w http.ResponseWriter, r *http.Request)
	}{
		"canceled": {http.MethodPost, policy.Rule{Grace: policy.AtOnce}, func(w http.ResponseWriter, r *http.Request) {
			begin(w)
			<-r.Context().Done()
		}},
		"cut": {http.MethodPost, policy.Rule{Grace: policy.AtOnce}, func(w http.ResponseWriter, _ *http.Request) {
			begin(w)
			time.Sleep(1500 * time.Millisecond)
		}},
		"told and broken": {http.MethodGet, policy.Rule{Ending: policy.BrokenEnding}, func(w http.ResponseWriter, r *http.Request) {
			begin(w)
			<-r.Context().Done()
		}},
		"told and cut": {http.MethodGet, policy.Rule{Timeout: 2 * time.Second}, func(w http.ResponseWriter, _ *http.Request) {
			begin(w)
			time.Sleep(3500 * time.Millisecond)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := new(resetWriter)
				v := drainOverHTTP2(t, &middleware.Drainer{Policy: c.rule}, w, c.method, c.handle)
				assert.Equal(t, http.ErrAbortHandler, v)
				assert.Equal(t, 1, w.resets)
				assert.Zero(t, w.late)
			})
		})
	}
}

// A stream with a declared length that it doesn't reach is broken off: net/http sends its end over
// HTTP/2 as if it were whole.
func TestDeclaredLengthContradictsCleanEnd(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want any
	}{"not reached": {"half", http.ErrAbortHandler}, "reached": {"all of it", nil}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, Ending: policy.CleanEnding}}
				v := drainOverHTTP2(t, d, new(resetWriter), http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", "9")
					_, _ = io.WriteString(w, c.body)
					<-r.Context().Done()
				})
				assert.Equal(t, c.want, v)
			})
		})
	}
}

// What a panic breaks behind a farewell, its client has as much time for as for any other.
func TestPanicBehindFarewellWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(resetWriter)
		d := &middleware.Drainer{Policy: policy.Rule{Ending: policy.CleanEnding, Timeout: time.Millisecond}}
		v := drainOverHTTP2(t, d, w, http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
			begin(w)
			<-r.Context().Done()
			panic("a bug")
		})
		assert.Equal(t, "a bug", v)
		assert.Equal(t, 200*time.Millisecond, time.Since(w.written))
		assert.EqualValues(t, 1, d.Report().Broken)
	})
}

// Whether the end of a body that the drain waited for could be sent is known before its outcome is.
func TestEndIsFlushed(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		rule   policy.Rule
		err    error
		handle func(w http.ResponseWriter, r *http.Request)
		unsent int
		cut    uint64
	}{
		"events": {method: http.MethodPost, handle: func(w http.ResponseWriter, _ *http.Request) {
			begin(w)
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "data: 2\n\n")
		}},
		"more than net/http holds back, and a little": {method: http.MethodGet, handle: func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			_, _ = w.Write(make([]byte, 3000))
			_, _ = w.Write(make([]byte, 3000))
		}},
		"begun behind the cancel": {http.MethodGet, policy.Rule{Grace: policy.AtOnce}, nil, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			_, _ = io.WriteString(w, "sorry")
		}, 0, 0},
		"begun behind the cancel, for a peer that reads nothing": {http.MethodGet, policy.Rule{Grace: policy.AtOnce}, io.ErrClosedPipe, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			_, _ = io.WriteString(w, "sorry")
		}, 0, 1},
		"short, which net/http sends with its length": {method: http.MethodGet, handle: func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "short")
		}, unsent: 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &resetWriter{flushErr: c.err}
				d := &middleware.Drainer{Policy: c.rule}
				drainOverHTTP2(t, d, w, c.method, c.handle)
				assert.Equal(t, c.unsent, w.unsent)
				assert.Equal(t, c.cut, d.Report().Cut)
			})
		})
	}
}
