//go:build field

// Command fiber serves the routes with fiber, and stops as fiber's documentation shows it, within
// 10 s.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gofiber/contrib/v3/websocket"
	"github.com/gofiber/fiber/v3"
)

func main() {
	app := fiber.New()
	app.Get("/ws", websocket.New(socket))
	app.Get("/events", events)
	app.Get("/answer", answer)
	app.Get("/download", download)

	go func() {
		if err := app.Listen(os.Args[1], fiber.ListenConfig{DisableStartupMessage: true}); err != nil {
			log.Panic(err)
		}
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	<-signals
	if err := app.ShutdownWithTimeout(10 * time.Second); err != nil {
		log.Printf("shutdown: %v", err)
	}
}

func socket(conn *websocket.Conn) {
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
		if conn.WriteJSON(fiber.Map{"tick": n}) != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-gone:
			return
		}
	}
}

func events(c fiber.Ctx) error {
	c.Set("Content-Type", "text/event-stream")
	c.Set("Cache-Control", "no-cache")
	return c.SendStreamWriter(func(w *bufio.Writer) {
		for n := 1; ; n++ {
			fmt.Fprintf(w, "event: tick\ndata: %d\n\n", n)
			if w.Flush() != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func answer(c fiber.Ctx) error {
	c.Set("Content-Type", "text/plain; charset=utf-8")
	return c.SendStreamWriter(func(w *bufio.Writer) {
		for n := 1; n <= 30; n++ {
			fmt.Fprintf(w, "line %d\n", n)
			if w.Flush() != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func download(c fiber.Ctx) error {
	c.Set("Content-Type", "application/octet-stream")
	return c.SendStream(&slowly{left: 1_200_000}, 1_200_000)
}

// A slowly is read at 400 kB a second.
type slowly struct{ left int }

func (s *slowly) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), 20_000, s.left)
	s.left -= n
	clear(p[:n])
	time.Sleep(time.Duration(n) * time.Second / 400_000)
	return n, nil
}
