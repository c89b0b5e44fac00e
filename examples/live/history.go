package main

import (
	"log/slog"
	"sync"
	"time"
)

// historyLength is how many of the chat's lines a welcome has.
const historyLength = 50

// A line is something that was said in the chat.
type line struct {
	Type string    `json:"type"` // "say"
	From string    `json:"from"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// A history holds the chat's last lines. It takes the place of a real server's database: it is
// closed as soon as the server has ended, and each later use is logged as an error. All methods may
// be called concurrently.
type history struct {
	log *slog.Logger

	mu     sync.Mutex // guards lines and closed
	lines  []line
	closed bool
}

func newHistory(log *slog.Logger) *history { return &history{log: log} }

func (h *history) add(l line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checkLocked("add")
	if len(h.lines) == historyLength {
		h.lines = append(h.lines[:0], h.lines[1:]...)
	}
	h.lines = append(h.lines, l)
}

func (h *history) last() []line {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checkLocked("last")
	return append([]line{}, h.lines...)
}

func (h *history) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checkLocked("close")
	h.closed = true
}

func (h *history) checkLocked(use string) {
	if h.closed {
		h.log.Error("chat history used after its close", "use", use)
	}
}
