package middleware_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A handler that doesn't look at its context is named in the log, the error and the report, with the
// line where it waits and the stack of its goroutine.
func ExampleReport_stuckHandler() {
	d := &middleware.Drainer{
		Budget: policy.Budget{Total: time.Second, Reserve: 400 * time.Millisecond},
		Policy: policy.Rule{Grace: policy.AtOnce, Mercy: 100 * time.Millisecond},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), // the stack is in it, too
	}
	replies := make(chan string)
	begun := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{id}", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		close(begun)
		join(replies) // nobody replies
	})
	srv := httptest.NewUnstartedServer(middleware.Graceful(d)(mux))
	srv.Config.ConnContext = d.ConnContext // as Run sets it
	srv.Start()
	go func() { _, _ = http.Get(srv.URL + "/rooms/7") }()
	<-begun

	err := d.Shutdown(context.Background())
	fmt.Println(err != nil)
	stuck := d.Report().Aborted[0]
	fmt.Println(stuck.Route)
	fmt.Println(stuck.Where)
	fmt.Println(strings.Contains(stuck.Stack, "middleware_test.join("))

	close(replies)
	srv.Close()
	// Output:
	// true
	// GET /rooms/7 (pattern GET /rooms/{id})
	// chan receive at middleware_test.join (example_report_test.go:56) < middleware_test.ExampleReport_stuckHandler.func1 (example_report_test.go:31)
	// true
}

func join(replies <-chan string) string {
	return <-replies
}
