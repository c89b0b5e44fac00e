//go:build field

// Command echo serves the routes with echo, and stops as echo's documentation shows it, within the
// 10 s that are its default.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v5"
)

func main() {
	e := echo.New()
	e.GET("/ws", socket)
	e.GET("/events", events)
	e.GET("/answer", answer)
	e.GET("/download", download)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	sc := echo.StartConfig{Address: os.Args[1], GracefulTimeout: 10 * time.Second}
	if err := sc.Start(ctx, e); err != nil {
		log.Fatal(err)
	}
}

var upgrader = websocket.Upgrader{}

func socket(c *echo.Context) error {
	conn, err := upgrader.Upgrade(c.Response(), c.Request(), nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for n := 1; ; n++ {
		if conn.WriteJSON(map[string]int{"tick": n}) != nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-gone:
			return nil
		}
	}
}

func events(c *echo.Context) error {
	w := c.Response()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	for n := 1; ; n++ {
		fmt.Fprintf(w, "event: tick\ndata: %d\n\n", n)
		if err := http.NewResponseController(w).Flush(); err != nil || !pause(c, 100*time.Millisecond) {
			return nil
		}
	}
}

func answer(c *echo.Context) error {
	w := c.Response()
	w.Header().Set("Content-Type", echo.MIMETextPlainCharsetUTF8)
	w.WriteHeader(http.StatusOK)
	for n := 1; n <= 30; n++ {
		fmt.Fprintf(w, "line %d\n", n)
		if err := http.NewResponseController(w).Flush(); err != nil || !pause(c, 100*time.Millisecond) {
			return nil
		}
	}
	return nil
}

func download(c *echo.Context) error {
	w := c.Response()
	w.Header().Set("Content-Type", echo.MIMEOctetStream)
	w.Header().Set("Content-Length", "1200000")
	part := make([]byte, 20_000)
	for range 60 {
		if _, err := w.Write(part); err != nil || !pause(c, 50*time.Millisecond) {
			return nil
		}
	}
	return nil
}

func pause(c *echo.Context, d time.Duration) bool {
	select {
	case <-time.Tick(d):
		return true
	case <-c.Request().Context().Done():
		return false
	}
}
