package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/request"
)

// judging returns a judge of the server at base, in its first case, and the route that text names.
func judging(t *testing.T, base, text string) (*judge, request.Request) {
	u, err := url.Parse(base)
	require.NoError(t, err)
	cfg := config{url: *u, limit: 30 * time.Second, lookFor: 20 * time.Second}
	j := &judge{ctx: t.Context(), config: cfg, log: io.Discard, score: newScore(cfg)}
	j.score.begin("under load")
	r, err := request.Parse(text)
	require.NoError(t, err)
	return j, r
}

// A call that is too long to be read isn't judged.
func TestLongCall(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		message := append([]byte("\x00\x00\x10\x00\x00"), make([]byte, 1<<20)...)
		for range mostCall/len(message) + 1 {
			_, _ = w.Write(message)
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	j, r := judging(t, srv.URL, "POST /list\nContent-Type: application/grpc")
	require.NoError(t, j.look(&process{done: make(chan struct{})}, []request.Request{r}))
	c := j.open(j.routes[0], false)
	<-c.done
	require.NoError(t, c.err)
	j.judgeOpen(c)
	j.judgeNew(c, time.Now())
	assert.Empty(t, j.score.findings)
}

// A call that has fewer messages each time isn't cut short.
func TestCallWithFewerMessages(t *testing.T) {
	t.Parallel()
	var times atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/connect+json")
		for range 10 - times.Add(1) {
			fmt.Fprint(w, "\x00\x00\x00\x00\x02{}")
		}
		fmt.Fprint(w, "\x02\x00\x00\x00\x02{}")
	}))
	defer srv.Close()
	j, r := judging(t, srv.URL, "POST /list\nContent-Type: application/connect+json")
	require.NoError(t, j.look(&process{done: make(chan struct{})}, []request.Request{r}))
	c := j.open(j.routes[0], false)
	<-c.done
	require.Len(t, c.end.Messages, 7)
	j.judgeOpen(c)
	assert.Empty(t, j.score.findings)
}

// A client that is answered by a refusal isn't back.
func TestRefusedIsNotBack(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "busy")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer srv.Close()
	j, r := judging(t, srv.URL, "GET /events")
	f := j.follow(&route{Request: r, events: true}, true)
	back, _ := f.await(time.Now(), time.Now().Add(time.Second/2))
	assert.False(t, back)
}

func TestLastEvent(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"data: x":                          "data: x",
		"data: x\n\n":                      "data: x\n\n",
		"data: x\n\nretry: 5\n":            "retry: 5\n",
		"data: x\n\nretry: 5\n\n":          "retry: 5\n\n",
		"data: x\n\nretry: 5\n\n\n\n":      "retry: 5\n\n\n\n",
		"data: x\r\n\r\nretry: 5\r\n\r\n":  "retry: 5\n\n",
		"data: x\r\rretry: 5\r\r\r":        "retry: 5\n\n\n",
		"data: x\n\n\n\nretry: 5\n\n\r\n":  "retry: 5\n\n\n",
		"data: x\n\ndata: y\nretry: 5\n\n": "data: y\nretry: 5\n\n",
	} {
		b := newBody(http.Header{}, request.NoCall)
		b.add([]byte(text))
		assert.Equal(t, want, b.lastEvent(), "%q", text)
	}
}

// A zone in the URL is written for URLs, with %25, and not for dialing.
func TestURLWithZone(t *testing.T) {
	cfg, err := parse([]string{"-url", "http://[fe80::1%25eth0]:8080", "-pid", "5"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, "fe80::1%eth0", cfg.url.Hostname())
	_, r := judging(t, cfg.url.String(), "/")
	assert.NotPanics(t, func() { r.HTTP(cfg.url.String()) })
}
