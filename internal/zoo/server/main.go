// Command server is what the clients of the zoo are connected to: event streams and WebSockets
// without end, and answers that end in the drain. Almost all of them are under lastcall's default
// rules.
//
// It prints its address when it listens, and the report of its drain as JSON before it ends.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/lastcall-go/lastcall/middleware"
)

func main() {
	var s site
	addr := flag.String("addr", "127.0.0.1:0", "the `address` to listen on")
	secure := flag.Bool("tls", false, "serve HTTP/2 and HTTP/1.1 over TLS, with httptest's certificate")
	flag.StringVar(&s.name, "name", "server", "how the events' ids start")
	flag.StringVar(&s.modules, "modules", "", "the `folder` node_modules, for the page")
	flag.Parse()
	if err := run(*addr, *secure, s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(addr string, secure bool, s site) error {
	d := &middleware.Drainer{
		Policy: rules(),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)).With("server", s.name),
	}
	s.draining = d.Draining()
	mux := http.NewServeMux()
	mux.Handle("/", middleware.Graceful(d)(s.handler()))
	mux.Handle("GET /readyz", d.Readiness())
	// Clients leave in the middle of things, about which the server would write.
	srv := &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	ctx, stop := middleware.NotifyContext(context.Background(), d)
	defer stop()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	serve := func() error { return srv.Serve(ln) }
	if secure {
		certified := httptest.NewTLSServer(nil)
		certified.Close()
		srv.TLSConfig = certified.TLS.Clone()
		srv.TLSConfig.NextProtos = nil // srv sets its own
		serve = func() error { return srv.ServeTLS(ln, "", "") }
	}
	if err := d.Run(ctx, srv, serve); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(d.Report())
}
