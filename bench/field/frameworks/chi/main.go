//go:build field

// Command chi serves the routes with chi, and stops as chi's example shows it, within 10 s.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/lastcall-go/lastcall/bench/field/routes"
)

func main() {
	server := &http.Server{Addr: os.Args[1], Handler: service()}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go func() {
		if err := server.ListenAndServe(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	timeout, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(timeout); err != nil {
		log.Fatal(err)
	}
}

// service has net/http's own handlers, as is the way with chi.
func service() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.RequestID)
	r.Use(middleware.Recoverer)
	r.Get("/ws", routes.WebSocket)
	r.Get("/events", routes.Events)
	r.Get("/answer", routes.Answer)
	r.Get("/download", routes.Download)
	return r
}
