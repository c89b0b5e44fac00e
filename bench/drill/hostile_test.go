package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
)

// attacks are what a hostile server sends: in place of an answer, or after the first bytes of one
// that is under way. Each ends at the latest when the connection does.
var attacks = map[string]func(c net.Conn, underWay bool){
	"an endless header": func(c net.Conn, _ bool) {
		forever(c, "HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("x", 1000)+"\r\n")
	},
	"a header field without end": func(c net.Conn, _ bool) { forever(c, "HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 1000)) },
	"1xx without end":            func(c net.Conn, _ bool) { forever(c, "", "HTTP/1.1 100 Continue\r\n\r\n") },
	"a header that drips": func(c net.Conn, _ bool) {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "); err == nil; _, err = io.WriteString(c, "x") {
			<-tick.C
		}
	},
	"an endless body": func(c net.Conn, underWay bool) {
		head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
		if underWay {
			head = ""
		}
		forever(c, head, strings.Repeat("data: x\n", 1000))
	},
	"garbage":          func(c net.Conn, _ bool) { fmt.Fprintf(c, "%s\r\n\r\n", hostile) },
	"a garbled header": func(c net.Conn, _ bool) { fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nnotafield\x1b[2J kept\r\n\r\n") },
	"a garbled status": func(c net.Conn, _ bool) { fmt.Fprintf(c, "HTTP/1.1 2\x1b[2J0 \n3.4 kept\r\n\r\n") },
	"zeros":            func(c net.Conn, _ bool) { _, _ = c.Write(make([]byte, 10_000)) },
	"lengths that lie": func(c net.Conn, _ bool) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nx")
	},
	"chunks that lie": func(c net.Conn, _ bool) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n")
	},
	"silence": func(c net.Conn, _ bool) { _, _ = io.Copy(io.Discard, c) },
	"a hostile last event": func(c net.Conn, _ bool) {
		fmt.Fprintf(c, "retry: 99999999999999999999\nevent: %s\ndata\n\n", hostile)
	},
	"a Close frame with a hostile reason": func(c net.Conn, _ bool) {
		reason := "\x1b[2J\n3.4 kept"
		_, _ = c.Write(append(append([]byte{0x88, byte(2 + len(reason))}, binary.BigEndian.AppendUint16(nil, 1000)...), reason...))
	},
	"a frame without end": func(c net.Conn, _ bool) {
		forever(c, "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", strings.Repeat("x", 1000))
	},
}

// forever writes text again and again: 2 MiB as fast as it can, and then with pauses, since other
// tests run as well.
func forever(w io.Writer, first, text string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	n, err := io.WriteString(w, first)
	for sum := n; err == nil; sum += n {
		if n, err = io.WriteString(w, text); sum > 2<<20 {
			<-tick.C
		}
	}
}

// attack is a server whose answers are good until SIGTERM, and that attacks its clients for a
// second then; or at once.
func attack(sort, addr string) int {
	name, atOnce := strings.CutPrefix(sort, "at once: ")
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return 3
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	var begun atomic.Bool
	begun.Store(atOnce)
	begin := make(chan struct{})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				if begun.Load() {
					attacks[name](c, false)
					return
				}
				switch {
				case r.Header.Get("Upgrade") != "" && r.URL.Path == "/ws":
					fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", acceptKey(r))
				case r.URL.Path == "/events":
					fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: hello\n\n")
				default:
					fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nnow")
					return
				}
				<-begin
				attacks[name](c, true)
			}()
		}
	}()
	<-terminated
	begun.Store(true)
	close(begin)
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	<-timer.C
	return 0
}

func acceptKey(r *http.Request) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, section 1.3
	return base64.StdEncoding.EncodeToString(sum[:])
}

// assertHarmless checks that text could have come from the judge alone.
func assertHarmless(t *testing.T, text string) {
	for _, r := range text {
		assert.True(t, r == '\n' || unicode.IsPrint(r), "%q", r)
	}
	for line := range strings.Lines(text) {
		assert.NotRegexp(t, `^(\w+="[^"]*"|3\.4 kept|3\.4  kept)`, line)
	}
}

// TestHostileServers judges servers that attack their clients when they are told to end. Nothing
// waits for ever, and no report has anything that the judge hasn't written.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	for name := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, addr := started(t, "hostile: "+name)
			began := time.Now()
			status, out, log := judgedRunning(t, cmd, addr, "-look", "3s", "-limit", "10s", "-route", "/events", "-route", "/ws", "-route", "/now")
			assert.Equal(t, exitBroken, status, out+log)
			assert.Empty(t, log)
			assertHarmless(t, out)
			assert.Regexp(t, `(?m)^under load, as new clients come +\d+\.\d\ds +-$`, out)
			assert.Less(t, time.Since(began), 30*time.Second)
		})
	}
}

// TestHostileAnswers looks at routes of which nothing can be told.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"an endless header":   "answers nothing: .* exceeded 1048576 bytes",
		"a header that drips": "answers nothing in 3s",
		"a garbled header":    `answers nothing: .*notafield\\x1b\[2J`,
		"zeros":               `answers nothing: .*(\\x00){9}`,
		"chunks that lie":     "breaks off before the server is told to end: .*chunk",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, addr := started(t, "hostile: at once: "+name)
			status, out, log := judgedRunning(t, cmd, addr, "-look", "3s", "-route", "/events")
			assert.Equal(t, exitCannotJudge, status)
			assert.Empty(t, out)
			assert.Regexp(t, "^drill: GET /events "+want+".*\n$", log)
			assertHarmless(t, log)
		})
	}
}
