package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	chatBacklog      = 256              // messages that a reader may be behind before it is dropped
	chatWriteTimeout = 5 * time.Second  // for one message
	chatPing         = 20 * time.Second // keeps connections through proxies open, and finds dead peers
	chatReadTimeout  = 3 * chatPing
	chatLimit        = 4 << 10 // bytes in one message
)

// A chat is one room: what one says, all hear. It has no goroutine of its own: each handler reads
// its connection, has a goroutine that writes, and returns when both have ended.
type chat struct {
	history  *history
	upgrader websocket.Upgrader // whose zero value takes browsers from our own origin only

	mu      sync.Mutex // guards members and joined; not held while a connection is read or written
	members map[*member]struct{}
	joined  int
}

// A member is a connection, or a long-poll, that hears what is said.
type member struct {
	name   string
	heard  chan []byte   // never closed
	gone   chan struct{} // closed when it has left
	behind bool          // it was dropped, because it read too slowly; readable once gone is closed
}

func newChat(h *history) *chat { return &chat{history: h, members: map[*member]struct{}{}} }

// ServeHTTP receives text messages and sends JSON: a "welcome" first, then a "say" for each message
// that somebody sent.
func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := c.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	m := c.join(true)
	var writer sync.WaitGroup
	writer.Go(func() { m.writeTo(conn) })
	c.readFrom(conn, m.name)
	c.leave(m)
	writer.Wait()
}

// readFrom reads conn until the peer closes, is lost or breaks the rules, or writeTo has closed
// conn.
func (c *chat) readFrom(conn *websocket.Conn, name string) {
	conn.SetReadLimit(chatLimit)
	alive := func(string) error { return conn.SetReadDeadline(time.Now().Add(chatReadTimeout)) }
	conn.SetPongHandler(alive)
	for alive("") == nil {
		kind, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if kind == websocket.TextMessage && len(text) > 0 {
			c.say(name, string(text))
		}
	}
}

// writeTo writes what m hears to conn until m has left or a write fails, and closes conn.
func (m *member) writeTo(conn *websocket.Conn) {
	defer conn.Close()
	ping := time.NewTicker(chatPing)
	defer ping.Stop()
	for {
		var err error
		select {
		case <-m.gone:
			if m.behind {
				slow := websocket.FormatCloseMessage(websocket.ClosePolicyViolation, "reads too slowly")
				_ = conn.WriteControl(websocket.CloseMessage, slow, time.Now().Add(time.Second))
			}
			return
		case text := <-m.heard:
			_ = conn.SetWriteDeadline(time.Now().Add(chatWriteTimeout))
			err = conn.WriteMessage(websocket.TextMessage, text)
		case <-ping.C:
			err = conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(chatWriteTimeout))
		}
		if err != nil {
			return
		}
	}
}

// A welcome is the first message on a connection.
type welcome struct {
	Type    string `json:"type"` // "welcome"
	Name    string `json:"name"`
	History []line `json:"history"`
}

// join adds a member. Its welcome is queued under the lock, before what others say from then on.
func (c *chat) join(greet bool) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined++
	m := &member{
		name:  fmt.Sprintf("user %d", c.joined),
		heard: make(chan []byte, chatBacklog),
		gone:  make(chan struct{}),
	}
	if greet {
		m.heard <- encode(welcome{"welcome", m.name, c.history.last()})
	}
	c.members[m] = struct{}{}
	return m
}

// say sends text to all members, in the same order to each. It doesn't wait: a member that is too
// far behind is dropped.
func (c *chat) say(from, text string) {
	l := line{Type: "say", From: from, Text: text, At: time.Now()}
	message := encode(l)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history.add(l)
	for m := range c.members {
		select {
		case m.heard <- message:
		default:
			m.behind = true
			c.leaveLocked(m)
		}
	}
}

func (c *chat) leave(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLocked(m)
}

func (c *chat) leaveLocked(m *member) {
	if _, ok := c.members[m]; ok {
		delete(c.members, m)
		close(m.gone)
	}
}

// encode returns v as JSON with angle brackets unescaped: the page sets text, never HTML.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // our own types always encode
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
