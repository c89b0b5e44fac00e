package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// clock is an event stream that never ends by itself.
func clock(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: twelve\n\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// A stream gets its final event and a clean end, and the drain ends with it.
// Go's client is no EventSource: behind its farewell the stream is broken off, so that whoever reads
// it comes back.
func ExampleGraceful() {
	d := &middleware.Drainer{Policy: policy.Rule{
		Timeout:  policy.AtOnce,
		Farewell: policy.Farewell{Data: "come back soon"},
	}}
	srv := httptest.NewServer(middleware.Graceful(d)(http.HandlerFunc(clock)))
	defer srv.Close()

	res, err := http.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	fmt.Println(d.Shutdown(context.Background()))
	body, err := io.ReadAll(res.Body)
	fmt.Printf("%s%v, %d told\n", body[len(body)-len("event: shutdown\ndata: come back soon\n\n"):], err, d.Report().Told)
	// Output:
	// <nil>
	// event: shutdown
	// data: come back soon
	//
	// unexpected EOF, 1 told
}

// Rules per route stand in a table. Those of the innermost Graceful stand above
// it, field by field.
func ExampleGraceful_routes() {
	var routes policy.Mux
	routes.Handle("GET /live/", policy.Rule{Spread: 5 * time.Second, Farewell: policy.Farewell{Code: 1001, Reason: "moving house"}})
	routes.Handle("GET /answer", policy.Rule{Kind: policy.Finite})
	d := &middleware.Drainer{Policy: &routes}
	if err := d.Check(); err != nil { // what can be wrong is known before anything is served
		fmt.Println(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /live/clock", clock)
	mux.Handle("GET /live/chat", middleware.Graceful(d, policy.Rule{Timeout: policy.AtOnce})(http.HandlerFunc(clock)))
	_ = http.Server{Handler: middleware.Graceful(d)(mux)}

	tooLong := middleware.Drainer{Policy: policy.Rule{Spread: 30 * time.Second}}
	fmt.Println(tooLong.Check())
	// Output: policy: the rule for every route needs 30s (spread 30s) but the budget leaves 23s of 25s (announce 0s, reserve 2s): shorten the rule by 7s or raise Budget.Total to 32s
}

// A drain is rehearsed on a part of the streams, while the server goes on.
func ExampleDrainer_Shed() {
	d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
	srv := httptest.NewServer(middleware.Graceful(d)(http.HandlerFunc(clock)))
	defer srv.Close()
	for range 40 {
		res, err := http.Get(srv.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer res.Body.Close()
	}

	shed, err := d.Shed(context.Background(), middleware.ShedOptions{Fraction: 0.05})
	fmt.Println(shed.Picked, "picked,", shed.Told, "told", err)
	report := d.Report()
	fmt.Println(report.Phase, "with", report.Open.SSE, "event streams")

	fmt.Println(d.Shutdown(context.Background()))
	// Output:
	// 2 picked, 2 told <nil>
	// serving with 38 event streams
	// <nil>
}

// What Drain began can be taken back; what has not been told by then stays.
func ExampleDrainer_Resume() {
	d := &middleware.Drainer{Policy: policy.Rule{Grace: 10 * time.Second}} // nobody is told for ten seconds
	srv := httptest.NewServer(middleware.Graceful(d)(http.HandlerFunc(clock)))
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()

	d.Drain()
	<-d.Draining()
	fmt.Println(d.Resume(), d.Report().Phase, d.Report().Open.SSE)

	fmt.Println(d.Close())
	fmt.Println(d.Resume())
	// Output:
	// <nil> serving 1
	// <nil>
	// middleware: the drain is final, since Start, Shutdown, Run or Close was called; only one that Drain alone began can be taken back
}

// Run returns when its context has ended and everything is done. In a program
// that context is NotifyContext's.
func ExampleDrainer_Run() {
	d := &middleware.Drainer{}
	ctx, stop := middleware.NotifyContext(context.Background(), d)
	defer stop()
	srv := &http.Server{Addr: "127.0.0.1:0", Handler: middleware.Graceful(d)(http.NotFoundHandler())}

	stop() // instead of a signal
	err := d.Run(ctx, srv, srv.ListenAndServe)
	fmt.Println(err, d.Report().Phase)
	// Output: <nil> done
}

// A handler answers, and leaves work behind that the drain waits for.
func ExampleDrainer_Go() {
	d := &middleware.Drainer{}
	srv := httptest.NewServer(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := d.Go(r.Context(), func(ctx context.Context) {
			<-stream.Draining(ctx) // work in steps would look at it after each of them
			fmt.Println("stopped in order")
		})
		if err != nil {
			http.Error(w, "please retry", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})))
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	res.Body.Close()

	fmt.Println(res.Status, d.Shutdown(context.Background()), d.Report().Found.Tasks)
	// Output:
	// stopped in order
	// 202 Accepted <nil> 1
}
