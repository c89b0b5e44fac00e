package endings

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
)

// takeOver hijacks the connection.
func (ro *round) takeOver(x *exchange, w http.ResponseWriter, r *http.Request) {
	conn, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		x.mu.Lock()
		x.writeErr = err
		x.mu.Unlock()
		panic(err)
	}
	ctx := r.Context()
	talk := func() {
		defer conn.Close()
		head := "HTTP/1.1 101 Switching Protocols\r\n" + idHeader + ": " + strconv.Itoa(x.id) +
			"\r\nConnection: Upgrade\r\nUpgrade: " + x.upgrade + "\r\n\r\n"
		if _, err := io.WriteString(conn, head); err == nil {
			ro.talk(ctx, x, conn, brw.Reader)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.returned = true
	}
	if x.detached {
		ctx = context.Background() // which net/http cancels as the handler returns
		ro.handlers.Go(talk)
		return
	}
	talk()
}

// talk is what goes on over a hijacked connection, or one that is made of the bodies of a CONNECT.
func (ro *round) talk(ctx context.Context, x *exchange, conn net.Conn, br *bufio.Reader) {
	heard := make(chan struct{})
	ro.handlers.Go(func() {
		defer close(heard)
		if x.upgrade != "websocket" {
			_, _ = io.Copy(io.Discard, br)
			return
		}
		frames := format.Frames{FromClient: true, Upgraded: true}
		buf := make([]byte, 256)
		for !frames.Closed {
			n, err := br.Read(buf)
			_, _ = frames.Write(buf[:n])
			if err != nil {
				return
			}
		}
	})
	defer func() { // no byte may be read once the connection is closed
		_ = conn.SetReadDeadline(time.Now())
		_ = conn.Close()
		if x.proto != "2" {
			<-heard
		}
	}()
	frame := func(text string) string {
		if x.upgrade != "websocket" {
			return text
		}
		return serverFrame(0x81, text)
	}
	s := speeches["plain"]
	for i := range x.units {
		if err := x.write(conn, word{text: frame(s.unit(i, x.size))}); err != nil {
			return
		}
		timer := time.NewTimer(x.pause)
		over := false
		select {
		case <-timer.C:
		case <-heard:
			over = true
		case <-ctx.Done():
			over = x.look(ctx, "on a hijacked connection") && x.manner != ignores
		}
		timer.Stop()
		if over {
			break
		}
	}
	if x.upgrade == "websocket" && x.closesSelf {
		_ = x.write(conn, word{serverFrame(0x88, "\x03\xe9"), true})
		timer := time.NewTimer(x.begins)
		defer timer.Stop()
		select {
		case <-heard:
		case <-timer.C:
		}
	}
}

// serverFrame is a whole frame as a server sends it.
func serverFrame(first byte, text string) string {
	if len(text) < 126 {
		return string([]byte{first, byte(len(text))}) + text
	}
	return string([]byte{first, 126, byte(len(text) >> 8), byte(len(text))}) + text
}

// A connectConn is a net.Conn over the bodies of a CONNECT and its response. Whoever reads from it
// goes on until the stream ends: the client's Close may still be to come.
type connectConn struct {
	net.Conn
	w    http.ResponseWriter
	body io.ReadCloser
}

func (c connectConn) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if err == nil {
		err = http.NewResponseController(c.w).Flush()
	}
	return n, err
}

func (c connectConn) SetReadDeadline(time.Time) error { return nil }
func (c connectConn) Close() error                    { return c.body.Close() }
