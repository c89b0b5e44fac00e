package zoo

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"

	donovanhide "github.com/donovanhide/eventsource"
	launchdarkly "github.com/launchdarkly/eventsource"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	r3labs "github.com/r3labs/sse/v2"
	"github.com/stretchr/testify/assert"
	tmaxmax "github.com/tmaxmax/go-sse"
	"gopkg.in/cenkalti/backoff.v1"
)

// goClients starts clients that are written in Go. They end with the test.
func (z zoo) goClients(t *testing.T) residents {
	streams := []struct {
		name   string
		follow func(ctx context.Context, t *testing.T, name string)
	}{
		{"r3labs/sse", z.r3labs},
		{"tmaxmax/go-sse", z.tmaxmax},
		{"launchdarkly/eventsource", z.launchdarkly},
		{"donovanhide/eventsource", z.donovanhide},
		{"MCP go-sdk", z.mcp},
	}
	answers := []struct{ name, method, path string }{
		{"net/http, event stream", http.MethodPost, "/answer"},
		{"net/http, JSON lines", http.MethodGet, "/export"},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	var r residents
	for _, s := range streams {
		r.streams = append(r.streams, s.name)
		running.Go(func() { s.follow(ctx, t, s.name) })
	}
	for _, a := range answers {
		r.answers = append(r.answers, a.name)
		running.Go(func() { z.answer(ctx, t, a.name, a.method, a.path) })
	}
	return r
}

// client returns a client with connections of its own.
func (z zoo) client(t *testing.T) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!z.secure)
	protocols.SetHTTP2(z.secure)
	transport := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: authorities}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (z zoo) r3labs(ctx context.Context, t *testing.T, name string) {
	c := r3labs.NewClient(z.url("/events"))
	c.Connection = z.client(t)
	// Its default, but it ends with ctx.
	c.ReconnectStrategy = backoff.WithContext(backoff.NewExponentialBackOff(), ctx)
	_ = c.SubscribeRawWithContext(ctx, func(e *r3labs.Event) { z.event(name, e.Data) })
}

func (z zoo) tmaxmax(ctx context.Context, t *testing.T, name string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, z.url("/events"), nil)
	if !assert.NoError(t, err) {
		return
	}
	c := &tmaxmax.Client{HTTPClient: z.client(t)}
	conn := c.NewConnection(r)
	conn.SubscribeMessages(func(e tmaxmax.Event) { z.event(name, []byte(e.Data)) })
	_ = conn.Connect()
}

func (z zoo) launchdarkly(ctx context.Context, t *testing.T, name string) {
	s, err := launchdarkly.SubscribeWithURL(z.url("/events"), launchdarkly.StreamOptionHTTPClient(z.client(t)),
		launchdarkly.StreamOptionErrorHandler(func(error) (result launchdarkly.StreamErrorHandlerResult) { return }))
	if !assert.NoError(t, err) {
		return
	}
	defer s.Close()
	for {
		select {
		case e := <-s.Events:
			z.event(name, []byte(e.Data()))
		case <-ctx.Done():
			return
		}
	}
}

func (z zoo) donovanhide(ctx context.Context, t *testing.T, name string) {
	r, err := http.NewRequest(http.MethodGet, z.url("/events"), nil)
	if !assert.NoError(t, err) {
		return
	}
	s, err := donovanhide.SubscribeWith("", z.client(t), r)
	if !assert.NoError(t, err) {
		return
	}
	defer s.Close()
	for {
		select {
		case e := <-s.Events:
			z.event(name, []byte(e.Data()))
		case <-s.Errors: // it goes on
		case <-ctx.Done():
			return
		}
	}
}

// mcp follows the standing stream of a session. The server has a session of the same id in every
// process.
func (z zoo) mcp(ctx context.Context, t *testing.T, name string) {
	c := mcp.NewClient(&mcp.Implementation{Name: "zoo", Version: "1"}, &mcp.ClientOptions{
		LoggingMessageHandler: func(_ context.Context, r *mcp.LoggingMessageRequest) {
			if data, err := json.Marshal(r.Params.Data); assert.NoError(t, err) {
				z.event(name, data)
			}
		},
	})
	session, err := c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: z.url("/mcp"), HTTPClient: z.client(t)}, nil)
	if !assert.NoError(t, err) {
		return
	}
	<-ctx.Done()
	_ = session.Close()
}

// answer reads an answer once the cue is given, and counts its lines that are not empty.
func (z zoo) answer(ctx context.Context, t *testing.T, name, method, path string) {
	select {
	case <-z.cue:
	case <-ctx.Done():
		return
	}
	r, err := http.NewRequestWithContext(ctx, method, z.url(path), nil)
	if !assert.NoError(t, err) {
		return
	}
	res, err := z.client(t).Do(r)
	if err != nil {
		z.report(report{Client: name, Answer: &answer{Error: err.Error()}})
		return
	}
	defer res.Body.Close()
	var got answer
	for lines := bufio.NewReader(res.Body); ; {
		line, err := lines.ReadSlice('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			got.Parts++
			z.report(report{Client: name, Begun: got.Parts >= 5})
		}
		if err != nil {
			if err != io.EOF {
				got.Error = err.Error()
			}
			z.report(report{Client: name, Answer: &got})
			return
		}
	}
}
