package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
)

// inMemory serves h on a network in memory until the test, in a bubble, ends.
func inMemory(t *testing.T, h http.Handler) *memnet.Network {
	p := memnet.New()
	srv := &http.Server{Handler: h}
	var served sync.WaitGroup
	served.Go(func() { _ = srv.Serve(p) })
	t.Cleanup(func() {
		assert.NoError(t, srv.Close())
		served.Wait()
		synctest.Wait() // for the handlers, for which Close doesn't
	})
	return p
}

// dial connects to p.
func dial(t *testing.T, p *memnet.Network) net.Conn {
	t.Helper()
	conn, err := p.Dial(t.Context(), "", "")
	require.NoError(t, err)
	return conn
}

// enter joins the room and returns the welcome.
func enter(t *testing.T, p *memnet.Network) (*websocket.Conn, map[string]any) {
	dialer := websocket.Dialer{NetDialContext: p.Dial}
	conn, _, err := dialer.DialContext(t.Context(), "ws://live/ws", nil)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn, hear(t, conn)
}

func hear(t *testing.T, conn *websocket.Conn) map[string]any {
	var message map[string]any
	require.NoError(t, conn.ReadJSON(&message))
	return message
}

func TestAllHearWhatOneSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t, newChat(newHistory(quiet)))
		one, welcome := enter(t, p)
		assert.Equal(t, map[string]any{"type": "welcome", "name": "user 1", "history": []any{}}, welcome)
		two, _ := enter(t, p)

		require.NoError(t, one.WriteMessage(websocket.TextMessage, []byte(`x < y & "z"`)))
		for _, conn := range []*websocket.Conn{one, two} {
			said := hear(t, conn)
			assert.Equal(t, "say", said["type"])
			assert.Equal(t, "user 1", said["from"])
			assert.Equal(t, `x < y & "z"`, said["text"])
		}
		_, welcome = enter(t, p)
		require.Len(t, welcome["history"], 1)
		assert.Equal(t, `x < y & "z"`, welcome["history"].([]any)[0].(map[string]any)["text"])
	})
}

func TestWelcomeComesFirst(t *testing.T) {
	room := newChat(newHistory(quiet))
	room.say("somebody", "before")
	m := room.join(true)
	for range 2 * chatBacklog {
		room.say("somebody", "after")
	}
	assert.JSONEq(t, `"welcome"`, string(field(t, <-m.heard, "type")))
	assert.JSONEq(t, `"say"`, string(field(t, <-m.heard, "type")))
	assert.True(t, m.behind)
	<-m.gone
}

func field(t *testing.T, message []byte, name string) json.RawMessage {
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(message, &fields))
	return fields[name]
}

func TestHandlerStaysUntilReaderAndWriterHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := newChat(newHistory(quiet))
		returned := make(chan struct{})
		p := inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(returned)
			room.ServeHTTP(w, r)
		}))
		conn, _ := enter(t, p)
		synctest.Wait()
		select {
		case <-returned:
			t.Fatal("the handler has returned under its connection")
		default:
		}
		require.NoError(t, conn.WriteControl(websocket.CloseMessage,
			websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Time{}))
		_, _, err := conn.ReadMessage()
		assert.True(t, websocket.IsCloseError(err, websocket.CloseNormalClosure), "%v", err)
		<-returned
		assert.Empty(t, room.members)
	})
}

func TestHandlerStaysForAStuckWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := newChat(newHistory(quiet))
		returned := make(chan struct{})
		p := inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(returned)
			room.ServeHTTP(w, r)
		}))
		conn, _ := enter(t, p)
		room.say("somebody", "something that is never read")
		synctest.Wait()
		began := time.Now()
		require.NoError(t, conn.WriteControl(websocket.CloseMessage, nil, time.Time{}))
		<-returned
		assert.Equal(t, chatWriteTimeout, time.Since(began), "the writer was left behind, or waits for ever")
	})
}

func TestSlowReaderIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t, newChat(newHistory(quiet)))
		slow, _ := enter(t, p) // and it reads no more
		one, _ := enter(t, p)
		for i := range chatBacklog + 10 {
			require.NoError(t, one.WriteMessage(websocket.TextMessage, fmt.Append(nil, i)))
			assert.Equal(t, fmt.Sprint(i), hear(t, one)["text"], "one slow reader holds up the others")
		}
		time.Sleep(2 * chatWriteTimeout) // of the bubble's clock
		var err error
		for err == nil {
			_, _, err = slow.ReadMessage()
		}
		assert.ErrorContains(t, err, "EOF", "its connection has been closed")
	})
}

func TestSilentPeerIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := newChat(newHistory(quiet))
		p := inMemory(t, room)
		conn, _ := enter(t, p)
		conn.SetPingHandler(func(string) error { return nil }) // it reads, but answers nothing
		began := time.Now()
		_, _, err := conn.ReadMessage()
		require.Error(t, err)
		assert.Equal(t, chatReadTimeout, time.Since(began))
	})
}

func TestOtherOriginsAreRefused(t *testing.T) {
	srv := httptest.NewServer(newChat(newHistory(quiet)))
	defer srv.Close()
	_, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+srv.URL[len("http"):],
		http.Header{"Origin": {"https://elsewhere.example"}})
	require.Error(t, err)
	assert.Equal(t, http.StatusForbidden, res.StatusCode)

	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+srv.URL[len("http"):],
		http.Header{"Origin": {srv.URL}})
	require.NoError(t, err)
	conn.Close()
}

func TestHistory(t *testing.T) {
	var log bytes.Buffer
	h := newHistory(slog.New(slog.NewTextHandler(&log, nil)))
	for i := range historyLength + 5 {
		h.add(line{Text: fmt.Sprint(i)})
	}
	last := h.last()
	require.Len(t, last, historyLength)
	assert.Equal(t, "5", last[0].Text)
	assert.Equal(t, "54", last[historyLength-1].Text)
	h.close()
	assert.Empty(t, log.String())

	h.last()
	assert.Contains(t, log.String(), "used after its close")
}

// poll calls h and returns the answer and how long it took.
func poll(ctx context.Context, h http.Handler, wait string) (string, time.Duration) {
	w, took := ask(ctx, h.ServeHTTP, "/poll?wait="+wait)
	return w.Body.String(), took
}

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := newChat(newHistory(quiet))
		time.AfterFunc(3*time.Second, func() { room.say("somebody", "hello") })
		body, took := poll(t.Context(), http.HandlerFunc(room.poll), "30s")
		assert.Equal(t, 3*time.Second, took)
		var news struct {
			Event    line
			Draining bool
		}
		require.NoError(t, json.Unmarshal([]byte(body), &news))
		assert.Equal(t, "hello", news.Event.Text)
		assert.False(t, news.Draining)

		body, took = poll(t.Context(), http.HandlerFunc(room.poll), "30s")
		assert.Equal(t, 30*time.Second, took)
		assert.JSONEq(t, `{"event":null,"draining":false}`, body)

		gone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		body, took = poll(gone, http.HandlerFunc(room.poll), "30s")
		assert.Equal(t, time.Second, took)
		assert.Empty(t, body)
		assert.Empty(t, room.members)
	})
}

func TestPollIsAnsweredWhenADrainBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		room := newChat(newHistory(quiet))
		time.AfterFunc(2*time.Second, d.Start)
		body, took := poll(t.Context(), middleware.Graceful(d)(http.HandlerFunc(room.poll)), "30s")
		assert.Equal(t, 2*time.Second, took)
		assert.JSONEq(t, `{"event":null,"draining":true}`, body)
		require.NoError(t, d.Shutdown(t.Context()))
		assert.EqualValues(t, 1, d.Report().Completed)
	})
}
