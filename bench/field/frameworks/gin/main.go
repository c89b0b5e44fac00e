//go:build field

// Command gin serves the routes with gin, and stops as gin's documentation shows it, within 10 s.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(gin.Recovery())
	router.GET("/ws", socket)
	router.GET("/events", events)
	router.GET("/answer", answer)
	router.GET("/download", download)

	srv := &http.Server{Addr: os.Args[1], Handler: router}
	go func() {
		if err := srv.ListenAndServe(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Fatalf("listen: %s\n", err)
		}
	}()
	<-ctx.Done()
	stop()
	timeout, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(timeout); err != nil {
		log.Fatal("server forced to shut down: ", err)
	}
}

var upgrader = websocket.Upgrader{}

func socket(c *gin.Context) {
	conn, err := upgrader.Upgrade(c.Writer, c.Request, nil)
	if err != nil {
		return
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
		if conn.WriteJSON(gin.H{"tick": n}) != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-gone:
			return
		}
	}
}

func events(c *gin.Context) {
	n := 0
	c.Stream(func(io.Writer) bool {
		n++
		c.SSEvent("tick", n)
		return pause(c, 100*time.Millisecond)
	})
}

func answer(c *gin.Context) {
	n := 0
	c.Header("Content-Type", "text/plain; charset=utf-8")
	c.Stream(func(w io.Writer) bool {
		n++
		fmt.Fprintf(w, "line %d\n", n)
		return n < 30 && pause(c, 100*time.Millisecond)
	})
}

func download(c *gin.Context) {
	part := make([]byte, 20_000)
	c.Header("Content-Type", "application/octet-stream")
	c.Header("Content-Length", "1200000")
	for range 60 {
		if _, err := c.Writer.Write(part); err != nil || !pause(c, 50*time.Millisecond) {
			return
		}
	}
}

func pause(c *gin.Context, d time.Duration) bool {
	select {
	case <-time.Tick(d):
		return true
	case <-c.Request.Context().Done():
		return false
	}
}
