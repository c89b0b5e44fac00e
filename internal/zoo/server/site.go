package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"time"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse"
)

//go:embed page.html
var page []byte

const (
	interval = 100 * time.Millisecond // from one event to the next
	count    = 50                     // events of an answer
	early    = 5                      // those of them that come before the drain
)

// A site has the handlers of a server.
type site struct {
	name     string
	modules  string
	draining <-chan struct{} // closed when the drain begins
}

func (s site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})
	mux.HandleFunc("GET /modules/{path...}", s.module)

	mux.HandleFunc("GET /events", s.events("id: %[1]s\ndata: %[2]s\n\n"))
	mux.HandleFunc("GET /datastar", s.events("event: datastar-merge-signals\nid: %[1]s\ndata: signals {sighting: %[2]q}\n\n"))
	mux.HandleFunc("GET /mcp", s.events("id: %[1]s\ndata: "+
		`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%[2]s}}`+"\n\n"))
	mux.HandleFunc("POST /mcp", initialize)

	mux.HandleFunc("POST /answer", s.answer(eventStream, "", "data: %[1]d\n\n", ""))
	mux.HandleFunc("GET /export", s.answer("application/x-ndjson", "", `{"row":%[1]d}`+"\n", ""))
	mux.HandleFunc("POST /openai/chat/completions", s.answer(eventStream, "",
		`data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"%[1]d "}}]}`+"\n\n",
		"data: [DONE]\n\n"))
	mux.HandleFunc("POST /anthropic/v1/messages", s.answer(eventStream, anthropicStart,
		"event: content_block_delta\n"+
			`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%[1]d "}}`+"\n\n",
		anthropicEnd))

	mux.HandleFunc("GET /gorilla/waits", gorillaEcho(false))
	mux.HandleFunc("GET /gorilla/closes", gorillaEcho(true))
	mux.HandleFunc("GET /gorilla/closes/soon", gorillaEcho(true))
	mux.HandleFunc("GET /coder/waits", coderEcho(false))
	mux.HandleFunc("GET /coder/closes", coderEcho(true))
	mux.HandleFunc("GET /coder/closes/soon", coderEcho(true))
	return mux
}

// rules returns the rules of the site. All others are the default.
func rules() policy.Policy {
	var routes policy.Mux
	routes.Handle("GET /{library}/closes/soon", policy.Rule{Timeout: policy.AtOnce})
	return &routes
}

const eventStream = "text/event-stream"

const anthropicStart = "event: message_start\n" +
	`data: {"type":"message_start","message":{"id":"1","type":"message","role":"assistant","content":[],` +
	`"model":"m","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}` + "\n\n" +
	"event: content_block_start\n" +
	`data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n"

const anthropicEnd = "event: content_block_stop\n" +
	`data: {"type":"content_block_stop","index":0}` + "\n\n" +
	"event: message_delta\n" +
	`data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":50}}` + "\n\n" +
	"event: message_stop\n" +
	`data: {"type":"message_stop"}` + "\n\n"

// module serves a file of the npm packages. Those that are written for bundlers import files
// without their .js.
func (s site) module(w http.ResponseWriter, r *http.Request) {
	name := path.Clean("/" + r.PathValue("path"))
	if _, err := os.Stat(s.modules + name); errors.Is(err, fs.ErrNotExist) {
		name += ".js"
	}
	http.ServeFile(w, r, s.modules+name)
}

// events returns the handler of an event stream without end. The format makes an event of its id
// and its data: the process that it comes from, its number in this stream, and of the stream's
// request the Last-Event-ID, the version of HTTP, and whether it is taken for an EventSource's.
func (s site) events(format string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", eventStream)
		w.Header().Set("Cache-Control", "no-cache")
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for n := 1; ; n++ {
			data, err := json.Marshal(map[string]any{
				"process": s.name, "n": n, "last": r.Header.Get("Last-Event-ID"),
				"proto": r.Proto, "eventSource": sse.FromEventSource(r) || r.Header.Get("Mcp-Session-Id") != "",
			})
			if err != nil {
				return
			}
			fmt.Fprintf(w, format, fmt.Sprintf("%s-%d", s.name, n), data)
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// initialize responds to the messages of an MCP client, for which the standing stream is all that
// this server has.
func initialize(w http.ResponseWriter, r *http.Request) {
	var message struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			ProtocolVersion string `json:"protocolVersion"`
		} `json:"params"`
	}
	switch err := json.NewDecoder(r.Body).Decode(&message); {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case message.ID == nil:
		w.WriteHeader(http.StatusAccepted)
	default:
		answer := map[string]any{"jsonrpc": "2.0", "id": message.ID}
		if message.Method == "initialize" {
			w.Header().Set("Mcp-Session-Id", "standing")
			answer["result"] = map[string]any{
				"protocolVersion": message.Params.ProtocolVersion,
				"capabilities":    map[string]any{"logging": map[string]any{}},
				"serverInfo":      map[string]any{"name": "zoo", "version": "1"},
			}
		} else {
			answer["error"] = map[string]any{"code": -32601, "message": "method not found"}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}
}

// answer returns the handler of a body that ends by itself. Wherever its client is when the server
// is told to stop, most of the body is still to come.
func (s site) answer(contentType, start, format, end string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		fmt.Fprint(w, start)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for n := range count {
			fmt.Fprintf(w, format, n+1)
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			if n+1 == early {
				select {
				case <-s.draining:
				case <-r.Context().Done():
					return
				}
			}
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprint(w, end)
	}
}

// gorillaEcho returns a WebSocket handler. It ends when its connection does; if closes, it closes
// the connection as its context ends.
func gorillaEcho(closes bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var upgrader gorilla.Upgrader
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // Upgrade has responded
		}
		defer conn.Close()
		if closes {
			defer context.AfterFunc(r.Context(), func() { _ = conn.Close() })()
		}
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, message) != nil {
				return
			}
		}
	}
}

// coderEcho does the same with another library, whose Read closes the connection as its context
// ends.
func coderEcho(closes bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // Accept has responded
		}
		defer func() { _ = conn.CloseNow() }()
		ctx := r.Context()
		if !closes {
			ctx = context.WithoutCancel(ctx)
		}
		for {
			kind, message, err := conn.Read(ctx)
			if err != nil || conn.Write(ctx, kind, message) != nil {
				return
			}
		}
	}
}
