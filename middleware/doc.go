// Package middleware ends the responses of an HTTP server in order: the finite ones complete, the
// streams are told goodbye in their own format and then canceled, and a [Report] says what became
// of each.
//
//	d := &middleware.Drainer{}
//	srv := &http.Server{Addr: ":8080", Handler: middleware.Graceful(d)(mux)}
//	ctx, stop := middleware.NotifyContext(context.Background(), d)
//	defer stop()
//	if err := d.Run(ctx, srv, srv.ListenAndServe); err != nil {
//		log.Fatal(err)
//	}
//
// [Graceful] wraps a handler; nothing in the handler has to change. A [Drainer] drains once, within
// its budget, and ends the moment nothing is left. Which treatment a response gets is a rule of
// package policy; what a handler may ask and say about its own response is in package stream. While
// the server goes on, streams can end by their age, [Drainer.Shed] tells a part of them goodbye,
// and a drain that [Drainer.Drain] began is taken back by [Drainer.Resume].
//
// A WebSocket is a connection that was hijacked for Upgrade: websocket, or over HTTP/2 (RFC 8441) a
// CONNECT with that :protocol that was answered with a status of 2xx.
//
// It does not see connections that never pass through an http.Handler, does not wait for goroutines
// that a handler has left behind once their connection is closed, sets no signal handler (but see
// [NotifyContext]) and ends no process.
package middleware
