// Package middleware ends the responses of an HTTP server in order: finite ones complete, streams
// are told goodbye in their own format and end so that their clients come back, and a [Report] says
// what became of each.
//
//	d := &middleware.Drainer{}
//	srv := &http.Server{Addr: ":8080", Handler: middleware.Graceful(d)(mux)}
//	ctx, stop := middleware.NotifyContext(context.Background(), d)
//	defer stop()
//	if err := d.Run(ctx, srv, srv.ListenAndServe); err != nil {
//		log.Fatal(err)
//	}
//
// [Graceful] wraps a handler, which stays as it is. A [Drainer] drains within its budget, and stops
// as soon as no response is left. A rule of package policy says how a response is ended. While the
// server goes on, streams end by their rule's MaxAge or when [Drainer.Shed] picks them.
//
// Streams are hijacked connections, and text/event-stream and multipart/x-mixed-replace that answer
// a GET. All other responses are finite, unless a rule's Kind or [stream.Tag] says otherwise. Once
// a stream's context is canceled its Write and Flush return an error that is [stream.ErrDraining].
//
// A WebSocket here is a connection that was hijacked for Upgrade: websocket (RFC 6455), or an
// HTTP/2 CONNECT with :protocol websocket (RFC 8441) that was answered with a status of 2xx.
//
// The package does not see connections that never pass through an http.Handler, waits for work that
// a handler leaves behind only where that is handed to [Drainer.Go], and ends no process. Only
// [NotifyContext] handles signals.
package middleware
