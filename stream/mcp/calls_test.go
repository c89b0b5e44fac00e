package mcp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream/mcp"
)

// An oldServer speaks HTTP+SSE for one session. Its call takes what its params say.
type oldServer struct{ results chan string }

func (s *oldServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		switch text := string(body); {
		case strings.Contains(text, "invalid"):
			http.Error(w, "invalid", http.StatusBadRequest)
			return
		case strings.Contains(text, "tools/call") && !strings.Contains(text, "for ever"):
			go func() {
				time.Sleep(3 * time.Second)
				s.results <- fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"result":{"bytes":%d}}`, len(body))
			}()
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "event: endpoint\ndata: /message?session=1\n\n")
	w.(http.Flusher).Flush()
	for {
		select {
		case result := <-s.results:
			_, _ = io.WriteString(w, "event: message\ndata: "+result+"\n\n")
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// A served is a server in a bubble, and a client of it.
type served struct {
	*http.Client
	drainer *middleware.Drainer
	done    chan error
	stop    func()
}

func serve(t *testing.T, h http.Handler, rule policy.Rule) *served {
	calls := &mcp.Calls{Policy: rule}
	network := memnet.New()
	ctx, stop := context.WithCancel(t.Context())
	s := &served{
		Client:  &http.Client{Transport: &http.Transport{DialContext: network.Dial}},
		drainer: &middleware.Drainer{Policy: calls}, done: make(chan error, 1), stop: stop,
	}
	srv := &http.Server{Handler: middleware.Graceful(s.drainer)(calls.Handler(h))}
	go func() { s.done <- s.drainer.Run(ctx, srv, func() error { return srv.Serve(network) }) }()
	t.Cleanup(s.CloseIdleConnections)
	return s
}

func (s *served) post(t *testing.T, body string) int {
	resp, err := s.Post("http://server/message?session=1", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// get asks for the standing stream, as this client does.
func (s *served) get(agent string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, "http://server/sse", nil)
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Accept": {"text/event-stream"}, "Cache-Control": {"no-cache"}, "User-Agent": {agent}}
	return s.Do(req)
}

// stream opens the standing stream and returns its lines, the last of which is the error of its
// end.
func (s *served) stream(t *testing.T) <-chan string {
	resp, err := s.get("Go-http-client/1.1")
	require.NoError(t, err)
	lines := make(chan string, 100)
	go func() {
		defer resp.Body.Close()
		r := bufio.NewReader(resp.Body)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				lines <- err.Error()
				close(lines)
				return
			}
			lines <- line
		}
	}()
	synctest.Wait()
	return lines
}

func all(lines <-chan string) (text string) {
	for line := range lines {
		text += line
	}
	return text
}

const (
	call     = `{"jsonrpc":"2.0","id":7,"method":"tools/call"}`
	forEver  = `{"jsonrpc":"2.0","id":"x","method":"tools/call","params":"for ever"}`
	canceled = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}`
)

func TestOldTransport(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []string      // what is posted before the drain
		during []string      // and in it
		status []int         // of all of them
		takes  time.Duration // the drain, and the stream's last 250 ms
		says   string        // what is on the stream besides
	}{
		{"idle", nil, nil, nil, 0, ""},
		{"a call", []string{call}, nil, []int{202}, 3 * time.Second, `"result"`},
		{"a call of 3 MiB", []string{call[:len(call)-1] + `,"params":"` + strings.Repeat("x", 3<<20) + `"}`}, nil, []int{202}, 3 * time.Second, `"bytes":3145786`},
		{"a call that is not taken", []string{`{"id":7,"method":"invalid"}`}, nil, []int{400}, 0, ""},
		{"a call that is canceled", []string{forEver, canceled}, nil, []int{202, 202}, 0, ""},
		{"a call that is canceled while draining", []string{forEver}, []string{canceled}, []int{202, 202}, time.Second, ""},
		{"a call that comes too late", []string{call}, []string{forEver}, []int{202, 202}, 3 * time.Second, `"id":"x","error"`},
		{"an answer", []string{call}, []string{`{"jsonrpc":"2.0","id":1,"result":{}}`}, []int{202, 202}, 3 * time.Second, `"result"`},
		{"two results of one call", []string{`{"method":"notifications/tools/call"}`, call}, nil, []int{202, 202}, 3 * time.Second, `"result"`},
		{"too late for any", nil, []string{call}, []int{503}, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, &oldServer{make(chan string, 1)}, policy.Rule{})
				lines := s.stream(t)
				var status []int
				for _, body := range tt.before {
					status = append(status, s.post(t, body))
				}
				start := time.Now()
				s.stop()
				synctest.Wait()
				if tt.takes > 0 {
					time.Sleep(time.Second)
				}
				for _, body := range tt.during {
					status = append(status, s.post(t, body))
				}
				require.NoError(t, <-s.done)
				require.Equal(t, tt.status, status)
				require.InDelta(t, tt.takes+250*time.Millisecond, time.Since(start), float64(50*time.Millisecond)) // net/http polls
				text := all(lines)
				require.Contains(t, text, tt.says)
				require.Regexp(t, `retry: \d+\nevent: message\ndata: .*"notifications/message".*\n\nEOF$`, text)
				require.EqualValues(t, 1, s.drainer.Report().Told)
			})
		})
	}
}

// TestNotificationKeepsTheSlot has a client post a notification while its stream waits for its
// slot, and a call that is too long to be told from anything else in time.
func TestNotificationKeepsTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &oldServer{make(chan string, 1)}, policy.Rule{Grace: 5 * time.Second})
		lines := s.stream(t)
		s.stop()
		synctest.Wait()
		require.Equal(t, 202, s.post(t, canceled))
		require.Equal(t, 503, s.post(t, `{"params":"`+strings.Repeat("x", 2<<20)+`","id":1,"method":"tools/call"}`))
		start := time.Now()
		require.Regexp(t, "EOF$", all(lines))
		require.Equal(t, 5250*time.Millisecond, time.Since(start))
		require.NoError(t, <-s.done)
		require.EqualValues(t, 1, s.drainer.Report().Refused)
	})
}

// TestLateStream has a client ask for a stream of HTTP+SSE while the server drains.
func TestLateStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &oldServer{make(chan string, 1)}, policy.Rule{})
		lines := s.stream(t)
		require.Equal(t, 202, s.post(t, call))
		s.stop()
		synctest.Wait()
		resp, err := s.get("Go-http-client/1.1")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, "a Go client would wait for the endpoint")
		require.NotEmpty(t, resp.Header.Get("Retry-After"))

		resp, err = s.get("node")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode, "an EventSource would give up")
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Regexp(t, `^retry: \d+\n\n$`, string(body))
		require.NoError(t, <-s.done)
		require.EqualValues(t, 2, s.drainer.Report().Refused)
		_ = all(lines)
	})
}

// TestLateSlowPost has clients post, while the server drains, what doesn't come to an end.
func TestLateSlowPost(t *testing.T) {
	for _, address := range []string{"http://server/message?session=1", "http://server/other"} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, &oldServer{make(chan string, 1)}, policy.Rule{})
			lines := s.stream(t)
			require.Equal(t, 202, s.post(t, call))
			start := time.Now()
			s.stop()
			synctest.Wait()
			body, feed := io.Pipe()
			fed := make(chan struct{})
			go func() {
				defer close(fed)
				for {
					if _, err := io.WriteString(feed, " "); err != nil {
						return
					}
					// Never at the moment of the answer: who meets a closed connection with a write
					// may not read it.
					time.Sleep(190 * time.Millisecond)
				}
			}()
			req, err := http.NewRequest(http.MethodPost, address, body)
			require.NoError(t, err)
			req.Header.Set("Mcp-Session-Id", "any")
			resp, err := s.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
			require.NoError(t, <-s.done)
			require.InDelta(t, 5*time.Second, time.Since(start), float64(50*time.Millisecond))
			require.Contains(t, all(lines), `"result"`)
			require.NoError(t, body.Close())
			<-fed
		})
	}
}

// TestHandlerStreamsByGin has a handler ask for what gin's Context.Stream needs.
func TestHandlerStreamsByGin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := make(chan bool, 1)
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			//lint:ignore SA1019 as gin does
			gone := w.(http.CloseNotifier).CloseNotify() // as gin does, which looks for no other
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			left <- <-gone
		}), policy.Rule{})
		resp, err := s.get("Go-http-client/1.1")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.True(t, <-left)
		s.stop()
		require.NoError(t, <-s.done)
	})
}

// TestStreamable posts to a server of streamable HTTP while it drains.
func TestStreamable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := map[string]int{}
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			got[r.Header.Get("Name")] = len(body)
			if r.Header.Get("Name") == "long" {
				time.Sleep(5 * time.Second)
			}
			w.WriteHeader(http.StatusAccepted)
		}), policy.Rule{})
		post := func(name, body string) int {
			req, err := http.NewRequest(http.MethodPost, "http://server/mcp", strings.NewReader(body))
			require.NoError(t, err)
			req.Header = http.Header{"Mcp-Session-Id": {"1"}, "Name": {name}, "Content-Type": {"application/json"}}
			resp, err := s.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			return resp.StatusCode
		}
		long := make(chan int, 1)
		go func() { long <- post("long", call) }()
		synctest.Wait()
		s.stop()
		synctest.Wait()
		large := strings.Repeat("x", 3<<20)
		for _, tt := range []struct {
			name, body string
			status     int
		}{
			{"call", call, 503},
			{"batch", `[{"method":"a"},` + call + `]`, 503},
			{"answer", `{"jsonrpc":"2.0","id":1,"result":{}}`, 202},
			{"large answer", `{"jsonrpc":"2.0","result":"` + large + `","id":1}`, 202},
			{"large call", `{"jsonrpc":"2.0","method":"x","params":"` + large + `","id":1}`, 503},
			{"notification", `{"jsonrpc":"2.0","method":"notifications/progress"}`, 202},
			{"the call once more", `{"id":7,"method":"tools/call","params":{"inputResponses":{}}}`, 202},
			{"no message", "no message", 202},
		} {
			require.Equal(t, tt.status, post(tt.name, tt.body), tt.name)
			if tt.status == 202 {
				require.Equal(t, len(tt.body), got[tt.name], "what the handler has read of %s", tt.name)
			}
		}
		require.Equal(t, 202, <-long)
		require.NoError(t, <-s.done)
		require.EqualValues(t, 3, s.drainer.Report().Refused)
	})
}

func TestWithoutGraceful(t *testing.T) {
	called := false
	h := new(mcp.Calls).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	h.ServeHTTP(nil, new(http.Request))
	require.True(t, called)
	require.Panics(t, func() { new(mcp.Calls).Handler(nil) })
}

func TestPolicy(t *testing.T) {
	calls := mcp.Calls{Policy: policy.Rule{Grace: time.Minute}}
	req, err := http.NewRequest(http.MethodPost, "/", nil)
	require.NoError(t, err)
	require.Equal(t, policy.Rule{Grace: time.Minute}, calls.Rule(req), "a request of something else")
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	require.Equal(t, policy.Rule{Grace: time.Minute, Admit: true}, calls.Rule(req))
	require.Error(t, calls.Check(policy.Budget{Total: 5 * time.Second}), "the rule doesn't fit")
	require.NoError(t, new(mcp.Calls).Check(policy.Budget{}))
}
