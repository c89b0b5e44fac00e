package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/lastcall-go/lastcall/middleware"
)

// BenchmarkReport is a Report over 10,000 open streams.
func BenchmarkReport(b *testing.B) {
	d := new(middleware.Drainer)
	mux := http.NewServeMux()
	var open, ended sync.WaitGroup
	mux.HandleFunc("/rooms/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("data: hello\n\n"))
		open.Done()
		<-r.Context().Done()
	})
	h := middleware.Graceful(d)(mux)
	ctx, leave := context.WithCancel(context.Background())
	for n := range 10_000 {
		open.Add(1)
		ended.Go(func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("/rooms/%d", n), nil))
		})
	}
	open.Wait()
	for b.Loop() {
		d.Report()
	}
	leave()
	ended.Wait()
}
