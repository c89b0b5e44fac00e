// Package middleware ends the responses of an HTTP server in order: finite ones complete, streams
// are told goodbye in their own format and then canceled, and a [Report] says what became of each.
//
//	d := &middleware.Drainer{}
//	srv := &http.Server{Addr: ":8080", Handler: middleware.Graceful(d)(mux)}
//	ctx, stop := middleware.NotifyContext(context.Background(), d)
//	defer stop()
//	if err := d.Run(ctx, srv, srv.ListenAndServe); err != nil {
//		log.Fatal(err)
//	}
//
// [Graceful] wraps a handler, which stays as it is. A [Drainer] drains within its budget, and ends
// the moment nothing is left. Which treatment a response gets is a rule of package policy. While
// the server goes on, streams end by their rule's MaxAge or when [Drainer.Shed] picks them.
//
// A WebSocket is a connection that was hijacked for Upgrade: websocket (RFC 6455), or an HTTP/2
// CONNECT with :protocol websocket (RFC 8441) that was answered with a status of 2xx.
//
// It does not see connections that never pass through an http.Handler, does not wait for goroutines
// that a handler has left behind once their connection is closed, and ends no process. Only
// [NotifyContext] handles signals.
package middleware
