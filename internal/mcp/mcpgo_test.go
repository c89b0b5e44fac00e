package mcp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

var silent = slog.New(slog.DiscardHandler)

func newMCPGoServer(s *site) *mcpserver.MCPServer {
	m := mcpserver.NewMCPServer("server", "1", mcpserver.WithToolCapabilities(true), mcpserver.WithElicitation())
	m.AddTool(mcp.NewTool("work"), func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		var k task
		if err := req.BindArguments(&k); err != nil {
			return nil, err
		}
		k.half()
		answer := ""
		if k.Ask {
			got, err := m.RequestElicitation(ctx, mcp.ElicitationRequest{Params: mcp.ElicitationParams{
				Message: "?", RequestedSchema: answerSchema,
			}})
			if err != nil {
				return nil, err
			}
			answer = got.Content.(map[string]any)["answer"].(string)
		}
		k.half()
		s.note(k.Token)
		return mcp.NewToolResultText(k.Token + answer), nil
	})
	return m
}

func mcpGoStreamable(s *site) (http.Handler, func()) {
	return mcpserver.NewStreamableHTTPServer(newMCPGoServer(s), mcpserver.WithStreamableHTTPLogger(silent)), func() {}
}

func mcpGoSSE(s *site) (http.Handler, func()) {
	return mcpserver.NewSSEServer(newMCPGoServer(s)), func() {}
}

// An mcpGoApp is an application with mcp-go's client.
type mcpGoApp struct {
	site   *site
	modern bool
	sse    bool

	mu      sync.Mutex // guards following
	clients []*client.Client
	stops   []func()
}

func (a *mcpGoApp) Elicit(context.Context, mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	a.site.answerLate()
	return &mcp.ElicitationResult{ElicitationResponse: mcp.ElicitationResponse{
		Action: mcp.ElicitationResponseActionAccept, Content: map[string]any{"answer": "!"},
	}}, nil
}

func (a *mcpGoApp) connect(ctx context.Context, who string) (session, error) {
	var t transport.Interface
	var err error
	options := []client.ClientOption{client.WithElicitationHandler(a)}
	switch {
	case a.sse:
		t, err = transport.NewSSE("http://site/sse", transport.WithHTTPClient(a.site.client(who)), transport.WithSSELogger(silent))
	case a.modern:
		t, err = transport.NewStreamableHTTP("http://site/mcp", transport.WithHTTPBasicClient(a.site.client(who)), transport.WithHTTPLogger(silent))
	default:
		options = append(options, client.WithLegacyProtocolOnly())
		t, err = transport.NewStreamableHTTP("http://site/mcp", transport.WithHTTPBasicClient(a.site.client(who)),
			transport.WithHTTPLogger(silent), transport.WithContinuousListening())
	}
	if err != nil {
		return nil, err
	}
	c := client.NewClient(t, options...)
	a.mu.Lock()
	a.clients = append(a.clients, c)
	a.mu.Unlock()
	over := make(chan struct{})
	var once sync.Once
	c.OnConnectionLost(func(error) { once.Do(func() { close(over) }) })
	life, stop := context.WithCancel(context.Background()) // the stream lasts as long as the context of Start
	a.mu.Lock()
	a.stops = append(a.stops, stop)
	a.mu.Unlock()
	if err := c.Start(life); err != nil {
		return nil, err
	}
	if _, err := c.Initialize(ctx, mcp.InitializeRequest{}); err != nil {
		return nil, err
	}
	s := &mcpGoSession{Client: c, lost: over, stopped: life.Done()}
	c.OnNotification(func(n mcp.JSONRPCNotification) { s.slot.Store(slotIn(n.Params.AdditionalFields["data"])) })
	switch {
	case a.modern:
		go a.listen(life, c)
	case !a.sse && who == standing:
		go a.keepSession(life, c)
	}
	return s, nil
}

// listen keeps a subscription open, as an application has to itself.
func (a *mcpGoApp) listen(ctx context.Context, c *client.Client) {
	for ctx.Err() == nil {
		_ = c.Listen(ctx, mcp.SubscriptionFilter{ToolsListChanged: true})
		timer := time.NewTimer(time.Second)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// keepSession begins a new session when the server doesn't know its own any more, which opens the
// stream again. It begins once the stream has ended, since an earlier call would reach the next
// server where the balancer isn't sticky, and no stream would be left to be told.
func (a *mcpGoApp) keepSession(ctx context.Context, c *client.Client) {
	select {
	case <-a.site.told:
	case <-ctx.Done():
	}
	for wait := 500 * time.Millisecond; ; wait = time.Second {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			if errors.Is(c.Ping(ctx), transport.ErrSessionTerminated) {
				_, _ = c.Initialize(ctx, mcp.InitializeRequest{})
			}
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (a *mcpGoApp) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, stop := range a.stops {
		stop()
	}
	for _, c := range a.clients {
		_ = c.Close()
	}
}

type mcpGoSession struct {
	*client.Client
	lost, stopped <-chan struct{}
	slot          atomic.Int64 // as time.Duration
}

func (s *mcpGoSession) call(ctx context.Context, k task) (string, error) {
	req := mcp.CallToolRequest{}
	req.Params.Name = "work"
	req.Params.Arguments = map[string]any{"token": k.Token, "ms": k.MS, "ask": k.Ask}
	result, err := s.CallTool(ctx, req)
	switch {
	case err != nil:
		return "", err
	case result.IsError || len(result.Content) != 1:
		return "", errors.New("the tool failed")
	}
	return result.Content[0].(mcp.TextContent).Text, nil
}

func (s *mcpGoSession) over() time.Duration {
	select {
	case <-s.lost:
	case <-s.stopped:
	}
	return time.Duration(s.slot.Load())
}
