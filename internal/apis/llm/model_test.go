// Package llm has the clients of language models' APIs get their answers from a server that drains,
// and from the next one. It holds tests only.
package llm

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/apis/rig"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A model stands for the servers of a round. It answers a question, which is the name of a call,
// with tokens that tell the server's name and the call's, and remembers which answers it has
// produced to their end.
type model struct {
	round *rig.Round

	mu       sync.Mutex
	produced map[string][]string // by the call; guarded by mu
}

func newModel(r *rig.Round) *model { return &model{round: r, produced: map[string][]string{}} }

// answers returns what was produced for the call.
func (m *model) answers(call string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.produced[call]
}

// A server is one of the two of a round.
type server struct {
	*model
	name    string
	arrived atomic.Int64  // requests whose handler was called
	began   chan struct{} // closed by the first of them
}

func (m *model) server(name string) (*server, http.Handler) {
	s := &server{model: m, name: name, began: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.openAI)
	mux.HandleFunc("POST /v1/messages", s.anthropic)
	mux.HandleFunc("POST /api/chat", s.ollama)
	mux.HandleFunc("GET /answer", s.answer)
	return s, mux
}

// tokens calls write with one token after the other, and flushes.
func (s *server) tokens(w http.ResponseWriter, call string, write func(token string), end func()) {
	if s.arrived.Add(1) == 1 {
		close(s.began)
	}
	flush := http.NewResponseController(w).Flush
	var all strings.Builder
	for i := range 3 + s.round.Of(15) {
		token := fmt.Sprintf("%s/%s/%d ", s.name, call, i)
		all.WriteString(token)
		write(token)
		_ = flush()
		rig.Pause(s.round.Moment(10*time.Millisecond), nil)
	}
	s.mu.Lock() // before the client could ask
	s.produced[call] = append(s.produced[call], all.String())
	s.mu.Unlock()
	end()
	_ = flush()
}

// A question is the part of all APIs' requests that matters here.
type question struct{ Messages []struct{ Content any } }

func (q question) call() string {
	text, _ := json.Marshal(q.Messages[0].Content)
	return between(string(text), "call-", "-")
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

func asked(r *http.Request) (call string, err error) {
	var q question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Messages) == 0 {
		return "", fmt.Errorf("no question: %w", err)
	}
	return q.call(), nil
}

func (s *server) openAI(w http.ResponseWriter, r *http.Request) {
	call, err := asked(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	chunk := func(delta, finish string) {
		fmt.Fprintf(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":%s,"finish_reason":%s}]}`+"\n\n", delta, finish)
	}
	s.tokens(w, call, func(token string) { chunk(fmt.Sprintf(`{"role":"assistant","content":%q}`, token), "null") }, func() {
		chunk("{}", `"stop"`)
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	})
}

func (s *server) anthropic(w http.ResponseWriter, r *http.Request) {
	call, err := asked(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	event := func(name, data string) {
		fmt.Fprintf(w, "event: %s\ndata: {\"type\":%q%s}\n\n", name, name, data)
	}
	event("message_start", `,"message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}`)
	event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`)
	s.tokens(w, call, func(token string) {
		event("content_block_delta", fmt.Sprintf(`,"index":0,"delta":{"type":"text_delta","text":%q}`, token))
	}, func() {
		event("content_block_stop", `,"index":0`)
		event("message_delta", `,"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}`)
		event("message_stop", "")
	})
}

func (s *server) ollama(w http.ResponseWriter, r *http.Request) {
	call, err := asked(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	line := func(token string, done bool) {
		fmt.Fprintf(w, `{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":%q},"done":%t}`+"\n", token, done)
	}
	s.tokens(w, call, func(token string) { line(token, false) }, func() { line("", true) })
}

// answer is an event stream over GET whose handler knows that it ends by itself.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	stream.Tag(r.Context(), policy.Finite)
	w.Header().Set("Content-Type", "text/event-stream")
	s.tokens(w, r.URL.Query().Get("call"),
		func(token string) { fmt.Fprintf(w, "event: token\ndata: %s\n\n", token) },
		func() { _, _ = io.WriteString(w, "event: done\ndata: done\n\n") })
}
