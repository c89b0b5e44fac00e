package causes

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// An end is what a handler can tell of the end of its WebSocket.
type end struct {
	draining bool // its error is stream.ErrDraining
	code     int  // its error has this close code; 0: none
	canceled bool // the cause of its context is stream.ErrDraining
	told     bool // stream.Draining is closed
}

// A failure is an end and the error that told of it.
type failure struct {
	end
	err error
}

// Where a WebSocket's read or write fails, its context, the close code or stream.Draining says
// whether a drain was the reason. What of them, docs/what-is-it-waiting-for.md says.
func TestWebSocketErrors(t *testing.T) {
	drained := end{canceled: true, told: true}
	failing := end{draining: true, canceled: true, told: true}
	for name, c := range map[string]struct {
		handler                            func(w http.ResponseWriter, r *http.Request) error
		answered, unanswered, closes, gone end
	}{
		"gorilla reads": {
			gorilla(func(c *websocket.Conn) error { _, _, err := c.ReadMessage(); return err }),
			end{code: 1012, told: true}, end{code: 1006, canceled: true, told: true}, end{code: 1001}, end{code: 1006},
		},
		"gorilla writes": {
			gorilla(func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte("x")) }),
			failing, failing, end{}, end{},
		},
		"coder reads": {
			coderHandler(func(ctx context.Context, c *coder.Conn) error { _, _, err := c.Read(ctx); return err }),
			end{code: 1012, told: true}, drained, end{code: 1001}, end{},
		},
		"coder writes": {
			coderHandler(func(ctx context.Context, c *coder.Conn) error { return c.Write(ctx, coder.MessageText, []byte("x")) }),
			drained, drained, end{}, end{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, want := range map[string]end{"answered": c.answered, "unanswered": c.unanswered, "closes": c.closes, "gone": c.gone} {
				if how == "closes" && want.code == 0 {
					continue // who only writes doesn't see it
				}
				got := endOf(t, c.handler, how)
				assert.Equal(t, want, got.end, "%s: %v", how, got.err)
			}
		})
	}
}

// endOf returns how a handler's WebSocket ended that a drain or its client ends.
func endOf(t *testing.T, handler func(w http.ResponseWriter, r *http.Request) error, how string) failure {
	d := &middleware.Drainer{Policy: policy.Rule{Timeout: 500 * time.Millisecond, Mercy: 500 * time.Millisecond}}
	ended := make(chan failure, 1)
	srv := httptest.NewServer(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := handler(w, r)
		got := end{draining: errors.Is(err, stream.ErrDraining), canceled: context.Cause(r.Context()) == stream.ErrDraining}
		select {
		case <-stream.Draining(r.Context()):
			got.told = true
		default:
		}
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			got.code = closed.Code
		} else if code := coder.CloseStatus(err); code > 0 {
			got.code = int(code)
		}
		ended <- failure{got, err}
	})))
	defer srv.Close()
	defer func() { assert.NoError(t, d.Shutdown(context.Background())) }()
	c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	require.NoError(t, err)
	defer c.Close()
	switch how {
	case "answered", "unanswered":
		d.Start()
		if how == "answered" {
			_ = c.SetReadDeadline(time.Now().Add(harness.Timeout))
			for err := error(nil); err == nil; {
				_, _, err = c.ReadMessage()
			}
			_ = c.Close()
		}
	case "closes":
		require.NoError(t, c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1001, ""), time.Now().Add(harness.Timeout)))
		_, _ = io.Copy(io.Discard, c.UnderlyingConn())
	case "gone":
		_ = c.Close()
	}
	return <-ended
}

// gorilla returns a handler that calls step until it fails.
func gorilla(step func(*websocket.Conn) error) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var u websocket.Upgrader
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			return err
		}
		defer c.Close()
		return until(func() error { return step(c) })
	}
}

// coderHandler returns a handler that calls step until it fails.
func coderHandler(step func(context.Context, *coder.Conn) error) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := coder.Accept(w, r, nil)
		if err != nil {
			return err
		}
		defer c.CloseNow()
		return until(func() error { return step(r.Context(), c) })
	}
}

// until calls step every few milliseconds until it fails, and returns its error.
func until(step func() error) error {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for {
		if err := step(); err != nil {
			return err
		}
		<-pace.C
	}
}
