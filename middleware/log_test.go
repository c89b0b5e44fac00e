package middleware_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

func TestLogLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		plain := slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
		d := &middleware.Drainer{Logger: slog.New(plain), Policy: policy.Rule{Timeout: 1500 * time.Millisecond}}
		mux := http.NewServeMux()
		mux.Handle("GET /stream", ticks(nil))
		r := serve(t, d, mux)
		stuck := r.stuck("/stream")
		defer stuck.Close()
		healthy := r.getAsync("/stream")
		r.drain()
		r.endsAfter(2500 * time.Millisecond)
		<-healthy
		assert.Equal(t, `level=INFO msg="drain begins" finite=0 sse=2 websocket=0 other=0 announce=0s budget=25s cause="the context given to Run ended: context canceled"
level=INFO msg=draining finite=0 sse=2 websocket=0 other=0 left=24s
level=INFO msg=draining finite=0 sse=1 websocket=0 other=0 left=23s
level=WARN msg=cut route="GET /stream" kind=infinite format=sse age=2.5s idle=2.5s
level=INFO msg="drain ends" took=2.5s completed=0 told=1 unanswered=0 canceled=0 cut=1 refused=0
`, log.String())
	})
}
