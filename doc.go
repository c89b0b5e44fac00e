// Package lastcall is the documentation of module github.com/lastcall-go/lastcall: graceful
// shutdown for HTTP servers that stream. Downloads finish, WebSockets get a close frame, event
// streams get a final event, and every response ends within one time budget, with a report of how
// it ended. The handlers stay as they are:
//
//	func main() {
//		d := &middleware.Drainer{Logger: slog.Default()}
//		srv := &http.Server{Addr: ":8080", Handler: middleware.Graceful(d)(http.DefaultServeMux)}
//		ctx, stop := middleware.NotifyContext(context.Background(), d)
//		defer stop()
//		if err := d.Run(ctx, srv, srv.ListenAndServe); err != nil {
//			log.Fatal(err)
//		}
//		// No handler under Graceful is running any more: close the database here.
//	}
//
// This package holds no code. Import one of these:
//
//   - [github.com/lastcall-go/lastcall/middleware]: Graceful wraps a handler, a Drainer ends its responses, Run serves
//     and shuts down, and a Report says what became of each response. Most programs need nothing else.
//   - [github.com/lastcall-go/lastcall/middleware/draintest]: for tests: a server that is drained at its test's end, and
//     a drill of all handlers at the worst moments.
//   - [github.com/lastcall-go/lastcall/policy]: the rules, by route or for all: what may finish, what is told, when, and
//     within which budget.
//   - [github.com/lastcall-go/lastcall/stream]: what a handler can ask and say about its own response, such as that its
//     event stream ends by itself.
//   - [github.com/lastcall-go/lastcall/sse]: for handlers and servers of event streams: an event's bytes, and the refusal
//     that an EventSource survives.
//   - [github.com/lastcall-go/lastcall/sse/r3labs]: r3labs/sse, served so that it ends in order.
//   - [github.com/lastcall-go/lastcall/ws]: for handlers and clients of WebSockets.
//
// It sets no signal handler unless middleware.NotifyContext is called, ends no process, and hands
// no socket to the next one. What else it doesn't do is in docs/limits.md.
package lastcall
