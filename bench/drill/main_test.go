package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// serveAs is set in the environment of a test binary that is to be a server of that sort.
const serveAs = "LASTCALL_DRILL_SERVER"

func TestMain(m *testing.M) {
	if sort := os.Getenv(serveAs); sort != "" {
		os.Exit(serve(sort, os.Args[1]))
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // the tests mostly wait
	goleak.VerifyTestMain(m)
}

// serve is a server that ends well or, in the way that its sort says, badly.
func serve(sort, addr string) int {
	if name, ok := strings.CutPrefix(sort, "hostile: "); ok {
		return attack(name, addr)
	}
	if strings.HasPrefix(sort, "kinds ") {
		return serveKinds(sort, addr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	var streams atomic.Int32
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		if n := streams.Add(1); sort == "dies in the look" && n > 1 || sort == "dies under load" && n > 4 {
			os.Exit(7)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: hello\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	var upgrader websocket.Upgrader
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		if c, err := upgrader.Upgrade(w, r, nil); err == nil {
			defer c.Close()
			for err == nil {
				_, _, err = c.ReadMessage()
			}
		}
	})
	mux.HandleFunc("GET /answer", func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		lines := 30
		if sort == "exits at once" {
			lines = 60 // for the judge to find answers under way on a slow machine, too
		}
		for range lines {
			if r.Context().Err() != nil && sort == "truncates" {
				return
			}
			<-tick.C
			fmt.Fprintln(w, "a line")
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("GET /now", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "now") })

	if sort == "listens nowhere" {
		<-ctx.Done()
		return 0
	}
	srv := &http.Server{Addr: addr, Handler: mux, BaseContext: func(net.Listener) context.Context { return ctx }}
	d := &middleware.Drainer{}
	switch sort {
	case "ends well", "refuses with 503", "sends its clients away", "drops half-sent requests", "fails":
		srv.BaseContext = nil
		switch sort {
		case "refuses with 503":
			d.Refusal = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		case "sends its clients away":
			routes := &policy.Mux{}
			routes.Handle("/events", policy.TellStayAway())
			routes.Handle("/ws", policy.TellStayAway())
			d.Policy = routes
		}
		srv.Handler = middleware.Graceful(d)(mux)
		if sort == "drops half-sent requests" {
			dropHalfSent(ctx, srv)
		}
		if err := d.Run(ctx, srv, srv.ListenAndServe); err != nil || sort == "fails" {
			return 3
		}
		return 0
	case "never ends":
		srv.BaseContext = nil
	case "exits at once":
		go func() {
			<-ctx.Done()
			os.Exit(0)
		}()
	}
	go func() { _ = srv.ListenAndServe() }()
	<-ctx.Done()
	limit, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = srv.Shutdown(limit)
	if sort == "never ends" {
		select {}
	}
	return 0
}

// dropHalfSent has srv close, when ctx ends, the connections whose first request hasn't come whole.
func dropHalfSent(ctx context.Context, srv *http.Server) {
	var half sync.Map
	type key struct{}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		half.Store(c, nil)
		return context.WithValue(ctx, key{}, c)
	}
	inner := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		half.Delete(r.Context().Value(key{}))
		inner.ServeHTTP(w, r)
	})
	context.AfterFunc(ctx, func() {
		half.Range(func(c, _ any) bool {
			c.(net.Conn).Close()
			return true
		})
	})
}

// lastPort is below those that systems give to clients, which could take a server's.
var lastPort atomic.Int32

// freeAddress returns one at which nothing listens. It doesn't listen there to find out: a process
// that another test starts at that moment would have the socket for a while.
func freeAddress(t *testing.T) string {
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20_000+(os.Getpid()*16+int(lastPort.Add(1)))%10_000)
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return addr
		}
		c.Close()
	}
	require.Fail(t, "no port is free")
	return ""
}

// judged runs the command on a server of a sort.
func judged(t *testing.T, sort string, args ...string) (status int, out string) {
	addr := freeAddress(t)
	args = append([]string{"-url", "http://" + addr, "-clients", "2", "-look", "5s"}, args...)
	for _, r := range []string{"/events", "/ws", "/answer", "/now"} {
		args = append(args, "-route", r)
	}
	args = append(args, "--", "env", serveAs+"="+sort, os.Args[0], addr)
	var text, log bytes.Buffer
	status = run(t.Context(), args, &text, &log)
	require.NotEqual(t, exitCannotJudge, status, log.String())
	return status, text.String()
}

func TestServerThatEndsWell(t *testing.T) {
	t.Parallel()
	status, out := judged(t, "ends well")
	assert.Equal(t, exitOK, status, out)
	for _, r := range rules {
		if r.number != "3.6" && r.number != "4.5" { // the process may end at once, and there is no call
			assert.Regexp(t, `(?m)^`+r.number+` .* kept +(\d+) of `, out)
		}
	}
	assert.Contains(t, out, "event stream       GET /events\nWebSocket          GET /ws\nanswer             GET /answer\nanswer             GET /now\n")
}

func TestServersThatEndBadly(t *testing.T) {
	t.Parallel()
	for sort, want := range map[string][]string{
		"cancels its base context": {"4.1", "4.3", "4.4"},
		"truncates":                {"3.1", "4.1", "4.3", "4.4"},
		"refuses with 503":         {"3.3", "3.4"},
		"never ends":               {"4.1", "4.4", "6.1"},
		"exits at once":            {"3.2", "4.1", "4.4"},
		"sends its clients away":   {"4.3", "5.2"},
		"drops half-sent requests": {"3.6"},
		"fails":                    {"6.2"},
	} {
		t.Run(sort, func(t *testing.T) {
			t.Parallel()
			limit := "15s"
			if sort == "never ends" {
				limit = "1s"
			}
			status, out := judged(t, sort, "-format", "json", "-limit", limit)
			assert.Equal(t, exitBroken, status)
			var score struct{ Findings []finding }
			require.NoError(t, json.Unmarshal([]byte(out), &score))
			broken := map[string]bool{}
			for _, f := range score.Findings {
				broken[f.Rule] = true
				t.Log(f)
			}
			for _, number := range want {
				assert.True(t, broken[number], number)
			}
			if slices.Contains([]string{"fails", "refuses with 503", "drops half-sent requests"}, sort) {
				delete(broken, "5.2") // who meets a 503 in between
				assert.Len(t, broken, len(want))
			}
		})
	}
}

func TestUsage(t *testing.T) {
	file := t.TempDir() + "/routes"
	require.NoError(t, os.WriteFile(file, []byte("/a\nX: 1\n###\n\n### two\nPOST /b\n\nbody\n"), 0o600))
	cfg, err := parse([]string{"-routes", file, "-route", "/c", "--", "x", "-y"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, []string{"x", "-y"}, cfg.command)
	all, err := cfg.requests()
	require.NoError(t, err)
	require.Len(t, all, 3)
	assert.Equal(t, []string{"GET /c", "GET /a", "POST /b"}, []string{all[0].Name(), all[1].Name(), all[2].Name()})
	assert.Equal(t, "body", all[2].Body)

	for args, want := range map[string]string{
		"-route /":                      "give either a command after --, or the -pid",
		"-route / -pid 1 -- x":          "give either a command after --, or the -pid",
		"-url ftp://a -- x":             `-url is "ftp://a"`,
		"-url http://a/b -- x":          `-url is "http://a/b"`,
		"-route / -pid -5":              "-pid is -5",
		"-clients 0 -- x":               "-clients is 0",
		"-format html -- x":             `-format is "html"`,
		"-- x":                          "there is no route to open",
		"-route x -- x":                 `"x" is no route`,
		"-routes nowhere -- x":          "open nowhere",
		"-route / -- ./no/such/command": "no such file",
	} {
		var log bytes.Buffer
		assert.Equal(t, exitCannotJudge, run(t.Context(), strings.Fields(args), io.Discard, &log), args)
		assert.Contains(t, log.String(), want)
	}
}
