package endings

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A reader is how a client reads. It sleeps on the bubble's clock, or as long as it says over the
// loopback.
type reader struct {
	chunk   int           // bytes at most at once; zero: as many as there are
	pause   time.Duration // after each chunk
	stuck   time.Duration // before its first byte
	answers time.Duration // to a WebSocket's Close; negative: never
}

func (r reader) slow() bool { return r.chunk > 0 || r.stuck > 0 }

// A peerConn is a client's connection.
type peerConn struct {
	net.Conn
	reader
	began     bool
	readsFrom atomic.Value // time.Time, of a stuck one
	chunks    int          // how many it has read slowly
	left      atomic.Bool  // the client has closed it
}

func (c *peerConn) Read(p []byte) (int, error) {
	if !c.began && c.stuck > 0 {
		c.began = true
		time.Sleep(c.stuck)
		c.readsFrom.Store(time.Now())
	}
	if c.chunk > 0 && c.chunks < 150 { // then it has seen enough to hurry
		c.chunks++
		time.Sleep(c.pause)
		p = p[:min(len(p), c.chunk)]
	}
	return c.Conn.Read(p)
}

func (c *peerConn) beganToRead() time.Time {
	t, _ := c.readsFrom.Load().(time.Time)
	return t
}

// leave closes the connection in the middle of whatever is going on.
func (c *peerConn) leave() {
	c.left.Store(true)
	_ = c.Close()
}

// head returns the request as it is sent over HTTP/1, without its body.
func (x *exchange) head() string {
	h := fmt.Sprintf("%s / HTTP/%s\r\nHost: memory\r\n%s: %d\r\n", x.method, x.proto, idHeader, x.id)
	for name, value := range x.fields() {
		h += name + ": " + value + "\r\n"
	}
	if x.upload > 0 {
		h += "Content-Length: " + strconv.Itoa(x.upload) + "\r\n"
	}
	if x.upgrade != "" {
		h += "Connection: Upgrade\r\nUpgrade: " + x.upgrade + "\r\n"
	}
	return h + "\r\n"
}

// fields are what shows who asks for an event stream.
func (x *exchange) fields() map[string]string {
	switch x.accept {
	case "eventsource":
		return map[string]string{"Accept": "text/event-stream", "Cache-Control": "no-cache", "User-Agent": "Mozilla/5.0"}
	case "fetch":
		return map[string]string{"Accept": "text/event-stream, application/json", "User-Agent": "node"}
	case "go":
		return map[string]string{"Accept": "text/event-stream", "Cache-Control": "no-cache", "User-Agent": "Go-http-client/1.1"}
	}
	return nil
}

// sendBody sends an upload. It fails once the server has closed the connection.
func (x *exchange) sendBody(c io.Writer) (sent bool) {
	left := x.upload
	for left > 0 {
		n := min(left, 700)
		if x.slowly {
			time.Sleep(20 * time.Millisecond)
		}
		if _, err := io.WriteString(c, filler(n)); err != nil {
			return false
		}
		left -= n
	}
	return true
}

// readResponse reads one response with a parser that takes nothing but what RFC 9112 has servers
// send. It reports whether the connection may be used again.
func (x *exchange) readResponse(c *peerConn, br *bufio.Reader) (reusable bool) {
	v := view{done: true}
	defer func() {
		v.ended, v.readsFrom = time.Now(), c.beganToRead()
		if v.end == broken || v.end == nothing {
			v.left = c.left.Load()
		}
		v.header = x.finish(&v)
	}()
	if _, v.err = br.Peek(1); v.err != nil {
		return false
	}
	v.end = broken
	line, err := crlfLine(br)
	if v.err = err; err != nil {
		return false
	}
	if len(line) < 13 || !strings.HasPrefix(line, "HTTP/1.1 ") && !strings.HasPrefix(line, "HTTP/1.0 ") {
		v.fault = fmt.Sprintf("status line %q", line)
		return false
	}
	if v.status, err = strconv.Atoi(line[9:12]); err != nil {
		v.fault = fmt.Sprintf("status line %q", line)
		return false
	}
	v.header = http.Header{}
	for {
		line, err := crlfLine(br)
		if v.err = err; err != nil {
			return false
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ": ")
		if !ok || name != textproto.CanonicalMIMEHeaderKey(name) {
			v.fault = fmt.Sprintf("header line %q", line)
			return false
		}
		v.header.Add(name, value)
	}
	if v.status == http.StatusSwitchingProtocols {
		x.readUpgraded(c, br, &v)
		return false
	}
	length, chunked := v.header["Content-Length"], v.header["Transfer-Encoding"]
	body := &told{x: x, v: &v}
	switch {
	case x.method == http.MethodHead, v.status == http.StatusNoContent, v.status == http.StatusNotModified:
		v.end = clean
	case len(length)+len(chunked) > 1 || len(chunked) == 1 && (chunked[0] != "chunked" || x.proto == "1.0"):
		v.fault = fmt.Sprintf("framed by %q and %q", length, chunked)
	case len(chunked) == 1:
		v.err = readChunked(br, body)
	case len(length) == 1:
		n, err := strconv.ParseInt(length[0], 10, 64)
		if err != nil {
			v.fault = fmt.Sprintf("Content-Length %q", length)
		}
		_, v.err = io.CopyN(body, br, n)
	default:
		_, v.err = io.Copy(body, br)
		v.header.Set("Connection", "close")
	}
	if v.err == nil && v.fault == "" {
		v.end = clean
	}
	v.body = body.String()
	return v.end == clean && x.proto == "1.1" && v.header.Get("Connection") != "close"
}

// told collects a body, and notes when its farewell was complete.
type told struct {
	strings.Builder
	x *exchange
	v *view
}

func (t *told) Write(p []byte) (int, error) {
	n, err := t.Builder.Write(p)
	if n > 0 {
		t.v.told = time.Now() // of the last byte, which is the farewell's where one has come
	}
	return n, err
}

func crlfLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadString('\n')
	if err != nil {
		return "", err
	}
	if !strings.HasSuffix(line, "\r\n") {
		return "", fmt.Errorf("strict: line %q", line)
	}
	return line[:len(line)-2], nil
}

var errStrict = errors.New("strict")

func readChunked(br *bufio.Reader, body io.Writer) error {
	for {
		line, err := crlfLine(br)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(line, 16, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%w: chunk size %q", errStrict, line)
		}
		if n > 0 {
			if _, err := io.CopyN(body, br, n); err != nil {
				return err
			}
		}
		if line, err = crlfLine(br); err != nil {
			return err
		} else if line != "" {
			return fmt.Errorf("%w: %q behind a chunk", errStrict, line)
		}
		if n == 0 {
			return nil
		}
	}
}

// sent reports whether the client was sent away, or got nothing.
func (x *exchange) sent() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.view.end == nothing || x.view.header.Get(idHeader) == ""
}

// finish notes what the client saw, and returns the header for the record.
func (x *exchange) finish(v *view) http.Header {
	if !x.upgraded(v) {
		v.text = speeches[x.speaks].parse(v.body, x.size)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.view = *v
	return v.header
}

// readUpgraded reads what comes over a connection that was hijacked, up to its end.
func (x *exchange) readUpgraded(c io.Writer, br *bufio.Reader, v *view) {
	plain := speeches["plain"]
	if x.upgrade != "websocket" {
		b, err := io.ReadAll(br)
		v.body, v.err = string(b), err
		if v.text = plain.parse(v.body, x.size); err == nil {
			v.end = clean
		}
		return
	}
	message := ""
	for v.err == nil {
		var head [2]byte
		if n, err := io.ReadFull(br, head[:]); err != nil {
			if n > 0 {
				v.text.rest = string(head[:n])
			}
			v.err = err
			break
		}
		n := int64(head[1])
		if n == 126 {
			var more [2]byte
			if _, v.err = io.ReadFull(br, more[:]); v.err != nil {
				v.text.rest = string(head[:])
				break
			}
			n = int64(more[0])<<8 | int64(more[1])
		}
		if n >= 127 && head[1] >= 127 || head[0] != 0x81 && head[0] != 0x88 {
			v.fault = fmt.Sprintf("frame header %x", head)
			return
		}
		payload := make([]byte, n)
		if got, err := io.ReadFull(br, payload); err != nil {
			v.err, v.text.rest = err, string(head[:])+string(payload[:got])
			break
		}
		switch {
		case v.code != 0:
			v.fault = fmt.Sprintf("frame %x behind the Close", head)
			return
		case head[0] == 0x81 && string(payload) == bye && message == "":
			message = bye
		case head[0] == 0x81 && message == "" && string(payload) == plain.unit(v.text.units, x.size):
			v.text.units++
		case head[0] == 0x81:
			v.fault = fmt.Sprintf("message %q behind %d units and %q", cap120(string(payload)), v.text.units, message)
			return
		case len(payload) < 2:
			v.fault = "an empty Close"
			return
		default:
			v.code, v.told = int(payload[0])<<8|int(payload[1]), time.Now()
			if x.reads.answers < 0 {
				continue
			}
			time.Sleep(x.reads.answers)
			_, err := c.Write([]byte{0x88, 0x82, 0, 0, 0, 0, payload[0], payload[1]})
			v.answered = err == nil
		}
	}
	v.text.farewell = v.code == cmp.Or(x.farewell().Code, 1012) // the handler's own is 1001
	if v.err == io.EOF {
		v.end = clean
	}
}
