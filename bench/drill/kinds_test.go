package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// serveKinds is a server with an answer of each kind, over HTTP/1.1 and HTTP/2: with lastcall, or
// one whose handlers end in the middle of what they write when the context does.
func serveKinds(sort, addr string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	well := sort != "kinds that end badly"
	streams := func(pattern, contentType, first, unit string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			stream.Tag(r.Context(), policy.Infinite)
			w.Header().Set("Content-Type", contentType)
			fmt.Fprint(w, first)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				fmt.Fprint(w, unit)
				_ = http.NewResponseController(w).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					if !well {
						fmt.Fprint(w, unit[:len(unit)/2])
					}
					return
				}
			}
		})
	}
	streams("POST /grpc/Watch", "application/grpc", "", "\x00\x00\x00\x00\x02hi")
	streams("POST /connect/Watch", "application/connect+json", "", "\x00\x00\x00\x00\x02{}")
	streams("GET /lines", "application/x-ndjson", "", "{\"n\": 1}\n")
	streams("GET /parts", "multipart/x-mixed-replace; boundary=b", "--b\r\n", "\r\n\r\nhi\r\n--b\r\n")
	streams("GET /events", "text/event-stream", "", "data: hi\n\n")
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		if c, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
			defer c.Close()
			for err == nil {
				_, _, err = c.ReadMessage()
			}
		}
	})
	mux.HandleFunc("POST /grpc/Call", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_ = http.NewResponseController(w).Flush()
		timer := time.NewTimer(500 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
			fmt.Fprint(w, "\x00\x00\x00\x00\x02hi")
			w.Header().Set("Grpc-Status", "0")
		case <-r.Context().Done():
			w.Header().Set("Grpc-Status", "1") // canceled
		}
	})
	srv := &http.Server{Addr: addr, Handler: mux, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	listen := srv.ListenAndServe
	if sort == "kinds over TLS" {
		self := httptest.NewUnstartedServer(nil)
		self.StartTLS()
		self.Close()
		srv.TLSConfig = &tls.Config{Certificates: self.TLS.Certificates}
		srv.Protocols.SetUnencryptedHTTP2(false)
		srv.Protocols.SetHTTP2(true)
		listen = func() error { return srv.ListenAndServeTLS("", "") }
	}
	if well {
		d := &middleware.Drainer{}
		srv.Handler = middleware.Graceful(d)(mux)
		if err := d.Run(ctx, srv, listen); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 3
		}
		return 0
	}
	srv.BaseContext = func(net.Listener) context.Context { return ctx }
	go func() { _ = listen() }()
	<-ctx.Done()
	limit, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = srv.Shutdown(limit)
	return 0
}

// kindRoutes are the routes of serveKinds.
var kindRoutes = []string{
	"-route", "POST /grpc/Watch\nContent-Type: application/grpc",
	"-route", "POST /grpc/Call\nContent-Type: application/grpc",
	"-route", "POST /connect/Watch\nContent-Type: application/connect+json\n\n{}",
	"-route", "/lines", "-route", "/parts", "-route", "/events", "-route", "/ws", "-look", "4s",
}

// kindsFound is what the judge finds out about them.
const kindsFound = `
gRPC stream        POST /grpc/Watch
gRPC call          POST /grpc/Call
Connect stream     POST /connect/Watch
JSON lines stream  GET /lines
multipart stream   GET /parts
event stream       GET /events
WebSocket          GET /ws
`

func TestKinds(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"HTTP/1.1": nil,
		"HTTP/2":   {"-http2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, addr := started(t, "kinds that end well")
			status, out, log := judgedRunning(t, cmd, addr, append(args, kindRoutes...)...)
			assert.Equal(t, exitOK, status, out+log)
			assert.Contains(t, out, kindsFound)
		})
		t.Run(name+" with TLS", func(t *testing.T) {
			t.Parallel()
			cmd, addr := started(t, "kinds over TLS")
			args := append(append([]string{"-url", "https://" + addr, "-insecure"}, args...), kindRoutes...)
			status, out, log := judgedRunning(t, cmd, addr, args...)
			assert.Equal(t, exitOK, status, out+log)
			assert.Contains(t, out, kindsFound)
		})
		t.Run(name+", badly", func(t *testing.T) {
			t.Parallel()
			cmd, addr := started(t, "kinds that end badly")
			status, out, log := judgedRunning(t, cmd, addr, append(args, kindRoutes...)...)
			assert.Equal(t, exitBroken, status, out+log)
			for _, want := range []string{
				`3\.2  POST /grpc/Call, .*`,
				`4\.5  POST /grpc/Watch, .*`,
				`4\.5  POST /connect/Watch, .*`,
				`4\.2  GET /lines, .*`,
				`4\.3  GET /events, .*`,
				`4\.4  GET /ws, .*`,
			} {
				assert.Regexp(t, `(?m)^`+want, out)
			}
		})
	}
	t.Run("a certificate of one's own", func(t *testing.T) {
		t.Parallel()
		cmd, addr := started(t, "kinds over TLS")
		status, _, log := judgedRunning(t, cmd, addr, "-url", "https://"+addr, "-route", "/events", "-look", "3s")
		assert.Equal(t, exitCannotJudge, status)
		assert.Regexp(t, `^drill: GET /events answers nothing: .*certificate.*\n$`, log)
	})
}
