package mcp_test

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/stream/mcp"
)

func ExampleCalls() {
	// In its place: mcp.NewStreamableHTTPHandler of the official SDK,
	// server.NewStreamableHTTPServer of mcp-go, or the like.
	var server http.Handler = http.NotFoundHandler()
	mux := http.NewServeMux()

	var calls mcp.Calls
	d := &middleware.Drainer{Policy: &calls, Logger: slog.Default()}
	mux.Handle("/mcp", calls.Handler(server))

	srv := &http.Server{Addr: "localhost:8080", Handler: middleware.Graceful(d)(mux)}
	fmt.Println(d.Check(), srv.Addr)
	// Output: <nil> localhost:8080
}
