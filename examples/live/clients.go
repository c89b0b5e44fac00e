package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A result is what one client saw of its response.
type result struct {
	kind    string        // of client: "websocket", "dashboard", "answer" or "download"
	retry   time.Duration // when the server asked it to come back; zero: it didn't
	endedAt time.Time
	err     error // how the body, or the connection, broke; nil: it ended in order

	code        int    // of a WebSocket's close frame
	reason      string // of a WebSocket's close frame
	last        string // a WebSocket's last message
	event, data string // an event stream's last event
	bytes       int64  // a download's bytes with the right content
}

// A client sends a request to the server at base, calls received once it has got something of the
// response, reads that to its end and returns what it saw. Its error means that it got nothing.
type client func(ctx context.Context, c *http.Client, base string, received func()) (result, error)

const (
	demoAnswer   = "/answer?tokens=30&delay=50ms"
	demoDownload = "/download?bytes=1048576&rate=524288"
	speakerTick  = 100 * time.Millisecond
)

func dashboardClient(ctx context.Context, c *http.Client, base string, received func()) (result, error) {
	return eventStream(ctx, c, "dashboard", base+"/events?stream="+metricsStream, received)
}

func answerClient(ctx context.Context, c *http.Client, base string, received func()) (result, error) {
	return eventStream(ctx, c, "answer", base+demoAnswer, received)
}

func downloadClient(ctx context.Context, c *http.Client, base string, received func()) (result, error) {
	return body(ctx, c, base+demoDownload, received)
}

// chatListener hears what is said in the chat.
func chatListener(ctx context.Context, _ *http.Client, base string, received func()) (result, error) {
	return chatClient(ctx, base, received, func(*websocket.Conn, <-chan struct{}) {})
}

// chatSpeaker hears what is said in the chat, and talks.
func chatSpeaker(ctx context.Context, _ *http.Client, base string, received func()) (result, error) {
	return chatClient(ctx, base, received, func(conn *websocket.Conn, over <-chan struct{}) {
		tick := time.NewTicker(speakerTick)
		defer tick.Stop()
		for conn.WriteMessage(websocket.TextMessage, []byte("Is anybody still here?")) == nil {
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	})
}

var retryInReason = regexp.MustCompile(`retry=(\d+)`)

func chatClient(
	ctx context.Context, base string, received func(), talk func(*websocket.Conn, <-chan struct{}),
) (result, error) {
	saw := result{kind: "websocket"}
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(base, "http")+"/ws", nil)
	if err != nil {
		return saw, fmt.Errorf("websocket client: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	over := make(chan struct{})
	var talking sync.WaitGroup
	defer talking.Wait()
	defer close(over)
	for {
		_, text, err := conn.ReadMessage()
		if err == nil {
			if saw.last == "" {
				received()
				talking.Go(func() { talk(conn, over) })
			}
			saw.last = string(text)
			continue
		}
		saw.endedAt = time.Now()
		var closed *websocket.CloseError
		if !errors.As(err, &closed) || closed.Code == websocket.CloseAbnormalClosure {
			saw.err = err
		} else {
			saw.code, saw.reason = closed.Code, closed.Text
		}
		if m := retryInReason.FindStringSubmatch(saw.reason); m != nil {
			saw.retry = milliseconds(m[1])
		}
		if saw.last == "" {
			return saw, fmt.Errorf("websocket client: ended before its first message: %w", err)
		}
		return saw, nil
	}
}

func eventStream(ctx context.Context, c *http.Client, name, url string, received func()) (result, error) {
	saw := result{kind: name}
	res, err := get(ctx, c, url, http.Header{
		"Accept": {"text/event-stream"}, "Cache-Control": {"no-cache"}, "User-Agent": {"live-demo"}, // as an EventSource
	})
	if err != nil {
		return saw, fmt.Errorf("%s client: %w", name, err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	event, data := "", ""
	for first := true; ; {
		text, err := lines.ReadString('\n')
		if err != nil {
			saw.endedAt = time.Now()
			if first {
				return saw, fmt.Errorf("%s client: ended before its first event: %w", name, err)
			}
			if err != io.EOF {
				saw.err = err
			} else if text+event+data != "" {
				saw.err = errors.New("unfinished event")
			}
			return saw, nil
		}
		field, value, _ := strings.Cut(strings.TrimRight(text, "\r\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "retry":
			saw.retry = milliseconds(value)
		case "event":
			event = value
		case "data":
			data += value
		case "":
			if data == "" {
				break // after a comment, or an event without data, which is ignored
			}
			saw.event, saw.data = event, data
			event, data = "", ""
			if first {
				first = false
				received()
			}
		}
	}
}

func body(ctx context.Context, c *http.Client, url string, received func()) (result, error) {
	saw := result{kind: "download"}
	res, err := get(ctx, c, url, http.Header{})
	if err != nil {
		return saw, fmt.Errorf("download client: %w", err)
	}
	defer res.Body.Close()
	got, want := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, err := res.Body.Read(got)
		if saw.bytes == 0 && n > 0 {
			received()
		}
		if fill(want[:n], saw.bytes); !bytes.Equal(got[:n], want[:n]) {
			saw.endedAt, saw.err = time.Now(), fmt.Errorf("wrong content after byte %d", saw.bytes)
			return saw, nil
		}
		saw.bytes += int64(n)
		if err != nil {
			saw.endedAt = time.Now()
			if saw.bytes == 0 {
				return saw, fmt.Errorf("download client: ended before its first byte: %w", err)
			}
			if err != io.EOF {
				saw.err = err
			}
			return saw, nil
		}
	}
}

func get(ctx context.Context, c *http.Client, url string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", url, res.Status)
	}
	return res, nil
}

func milliseconds(digits string) time.Duration {
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}
