package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// task is what a tool is told to do: to work for a while, or to ask and to work on.
type task struct {
	Token string `json:"token"`
	MS    int    `json:"ms"`
	Ask   bool   `json:"ask"`
}

var anything = json.RawMessage(`{"type":"object"}`)

var answerSchema = json.RawMessage(`{"type":"object","properties":{"answer":{"type":"string"}}}`)

func newGoSDKServer(s *site) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "server", Version: "1"}, nil)
	server.AddTool(&mcp.Tool{Name: "work", InputSchema: anything}, func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		var k task
		if err := json.Unmarshal(req.Params.Arguments, &k); err != nil {
			return nil, err
		}
		answer := ""
		switch {
		case !k.Ask:
			k.half()
		case len(req.Params.InputResponses) == 0:
			k.half()
			return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{
				"q": &mcp.ElicitParams{Message: "?", RequestedSchema: answerSchema},
			}}, nil
		default:
			answer = fmt.Sprint(req.Params.InputResponses["q"].(*mcp.ElicitResult).Content["answer"])
		}
		k.half()
		s.note(k.Token)
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: k.Token + answer}}}, nil
	})
	return server
}

func goSDKHandler(handler func(func(*http.Request) *mcp.Server) http.Handler) func(*site) (http.Handler, func()) {
	return func(s *site) (http.Handler, func()) {
		server := newGoSDKServer(s)
		return handler(func(*http.Request) *mcp.Server { return server }), func() {
			for session := range server.Sessions() {
				_ = session.Close()
			}
		}
	}
}

var goSDKStreamable = goSDKHandler(func(get func(*http.Request) *mcp.Server) http.Handler {
	return mcp.NewStreamableHTTPHandler(get, nil)
})

// goSDKJSON answers calls with JSON, and asks the client over its standing stream.
var goSDKJSON = goSDKHandler(func(get func(*http.Request) *mcp.Server) http.Handler {
	return mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{JSONResponse: true})
})

var goSDKStateless = goSDKHandler(func(get func(*http.Request) *mcp.Server) http.Handler {
	return mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{Stateless: true})
})

var goSDKSSE = goSDKHandler(func(get func(*http.Request) *mcp.Server) http.Handler {
	return mcp.NewSSEHandler(get, nil)
})

// A goSDKApp is an application with go-sdk's client, which begins a new session when its own is
// over.
type goSDKApp struct {
	site    *site
	version string
	sse     bool
	ends    bool // it uses Ends

	mu       sync.Mutex // guards following
	sessions []*mcp.ClientSession
}

func (a *goSDKApp) connect(ctx context.Context, who string) (session, error) {
	s := goSDKSession{ends: make(chan time.Duration, 10)}
	options := &mcp.ClientOptions{
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			a.site.answerLate()
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"answer": "!"}}, nil
		},
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) {},
		LoggingMessageHandler:  func(_ context.Context, r *mcp.LoggingMessageRequest) { s.slot.Store(slotIn(r.Params.Data)) },
	}
	httpClient := a.site.client(who)
	if a.ends {
		httpClient.Transport = Ends{httpClient.Transport, func(slot time.Duration) { s.ends <- slot }}
	}
	var transport mcp.Transport = &mcp.StreamableClientTransport{Endpoint: "http://site/mcp", HTTPClient: httpClient}
	if a.sse {
		transport = &mcp.SSEClientTransport{Endpoint: "http://site/mcp", HTTPClient: httpClient}
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, options)
	cs, err := client.Connect(ctx, transport, &mcp.ClientSessionOptions{ProtocolVersion: a.version})
	if err != nil {
		return nil, err
	}
	if a.ends && cs.InitializeResult().ProtocolVersion < "2026-07-28" {
		_ = cs.Close() // refused at its first request it goes on as an older client
		return nil, errors.New("try again")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions = append(a.sessions, cs)
	s.ClientSession = cs
	return &s, nil
}

func (a *goSDKApp) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, cs := range a.sessions {
		_ = cs.Close()
	}
}

type goSDKSession struct {
	*mcp.ClientSession
	ends chan time.Duration
	slot atomic.Int64 // as time.Duration
}

func (s *goSDKSession) call(ctx context.Context, k task) (string, error) {
	result, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "work", Arguments: k})
	switch {
	case err != nil:
		return "", err
	case result.IsError || len(result.Content) != 1:
		return "", errors.New("the tool failed")
	}
	return result.Content[0].(*mcp.TextContent).Text, nil
}

func (s *goSDKSession) over() time.Duration {
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		_ = s.Wait()
	}()
	select {
	case <-waited:
		return time.Duration(s.slot.Load())
	case slot := <-s.ends:
		return slot
	}
}
