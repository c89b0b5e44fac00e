package causes

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/r3labs/sse/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// What a handler gets from net/http and r3labs/sse when it asks another server, and its own client
// leaves or a drain cancels it: by errors.Is its error is stream.ErrDraining only for the drain.
func TestClientErrors(t *testing.T) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: begun\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}))
	defer back.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	to, err := url.Parse(back.URL)
	require.NoError(t, err)
	ask := func(ctx context.Context, path string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, back.URL+path, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	for name, handler := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"http.Client, before the header": func(_ http.ResponseWriter, r *http.Request) error { return ask(r.Context(), "/") },
		"http.Client, in the body":       func(_ http.ResponseWriter, r *http.Request) error { return ask(r.Context(), "/begun") },
		"ReverseProxy": func(w http.ResponseWriter, r *http.Request) (got error) {
			proxy := &httputil.ReverseProxy{
				Rewrite:      func(p *httputil.ProxyRequest) { p.SetURL(to) },
				ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { got = err },
			}
			proxy.ServeHTTP(w, r)
			return got
		},
		"r3labs, whose retries have to be ended": func(_ http.ResponseWriter, r *http.Request) error {
			c := sse.NewClient(back.URL + "/begun")
			c.ReconnectStrategy = whileOpen{r.Context()}
			return c.SubscribeRawWithContext(r.Context(), func(*sse.Event) {})
		},
		"a context made from it": func(_ http.ResponseWriter, r *http.Request) error {
			ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
			defer cancel()
			<-ctx.Done()
			return context.Cause(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, drain := range []bool{true, false} {
				d := &middleware.Drainer{Policy: policy.Rule{Grace: policy.AtOnce}}
				begun, got := make(chan struct{}), make(chan error, 1)
				srv := httptest.NewServer(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					close(begun)
					err := handler(w, r)
					assert.Equal(t, drain, context.Cause(r.Context()) == stream.ErrDraining)
					got <- err
				})))
				ctx, leave := context.WithCancel(context.Background())
				asked := make(chan struct{})
				go func() {
					defer close(asked)
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
					if res, err := http.DefaultClient.Do(req); err == nil {
						res.Body.Close()
					}
				}()
				<-begun
				if drain {
					d.Start()
				} else {
					leave()
				}
				err := <-got // nil from r3labs where the client has left
				assert.Equal(t, drain, errors.Is(err, stream.ErrDraining), "%v", err)
				assert.NoError(t, d.Shutdown(context.Background()))
				leave()
				<-asked
				srv.Close()
			}
		})
	}
}

// whileOpen is a strategy for an sse.Client that retries at once, until ctx ends. By itself the
// client goes on for 15 minutes.
type whileOpen struct{ ctx context.Context }

func (s whileOpen) NextBackOff() time.Duration {
	if s.ctx.Err() != nil {
		return -1
	}
	return 0
}

func (whileOpen) Reset() {}
