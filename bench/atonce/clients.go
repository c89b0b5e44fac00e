package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

func (c config) sockets() int { return int(math.Round(c.WebSockets * float64(c.Streams))) }

// A job is what the clients have to do.
type job struct {
	config
	Addr string
	Set  int // which of the measurements this is: each has addresses of its own to connect from
}

// A clientResult is what all clients saw.
type clientResult struct {
	Told, Clean int         // how many saw a farewell, and how many then a clean end
	Ends        []time.Time // when they saw their ends, sorted
	Fault       string      // what one of the others saw
}

// runClients opens the streams, says that they are open, and follows them to their ends.
func runClients(ctx context.Context, in *json.Decoder, out *json.Encoder) error {
	var j job
	if err := in.Decode(&j); err != nil {
		return err
	}
	all := make([]*client, j.Streams)
	var opening errgroup.Group
	opening.SetLimit(64)
	for i := range all {
		opening.Go(func() (err error) {
			all[i], err = j.open(ctx, i)
			return err
		})
	}
	if err := opening.Wait(); err != nil {
		return err
	}
	var following sync.WaitGroup
	for _, c := range all {
		following.Go(c.follow)
	}
	if err := out.Encode(len(all)); err != nil {
		return err
	}
	following.Wait()
	var r clientResult
	for _, c := range all {
		if c.told {
			r.Told++
		}
		if c.fault == nil {
			r.Clean++
		} else {
			r.Fault = c.fault.Error()
		}
		r.Ends = append(r.Ends, c.ended)
	}
	slices.SortFunc(r.Ends, time.Time.Compare)
	return out.Encode(r)
}

// A client has one stream. It reads from the raw connection, into a buffer that holds all that the
// server sends after the first event or message.
type client struct {
	conn   net.Conn
	socket bool
	buf    [256]byte

	told  bool
	ended time.Time
	fault error // nil: the farewell and a clean end, and nothing else
}

const (
	eventsRequest = "GET /events HTTP/1.1\r\nHost: atonce\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n\r\n"
	socketRequest = "GET /socket HTTP/1.1\r\nHost: atonce\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

// closeReply is a Close frame with code 1012, whose mask is all zero.
const closeReply = "\x88\x82\x00\x00\x00\x00\x03\xf4"

// open asks for the i-th stream and reads up to its first event or message.
func (j job) open(ctx context.Context, i int) (*client, error) {
	// From one address the ports would run out.
	from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(j.Set), byte(1+i/5000))}
	conn, err := (&net.Dialer{LocalAddr: from, KeepAlive: -1}).DialContext(ctx, "tcp", j.Addr)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // the connection is new: no error
	}
	c := &client{conn: conn, socket: i*j.sockets()/j.Streams < (i+1)*j.sockets()/j.Streams}
	request, begin := eventsRequest, "\r\n\r\n9\r\n"+first+"\r\n"
	if c.socket {
		request, begin = socketRequest, "\r\n\r\n\x81\x010"
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, err
	}
	for n := 0; !bytes.HasSuffix(c.buf[:n], []byte(begin)); {
		more, err := conn.Read(c.buf[n:])
		if n += more; err != nil {
			return nil, fmt.Errorf("a stream that didn't begin: %q, %w", c.buf[:n], err)
		}
	}
	return c, nil
}

// follow reads the stream to its end.
func (c *client) follow() {
	defer c.conn.Close()
	n, err := 0, error(nil)
	for err == nil && c.fault == nil && !c.over(c.buf[:n]) {
		var more int
		more, err = c.conn.Read(c.buf[n:])
		n += more
		if c.socket && !c.told && isClose(c.buf[:n]) {
			c.told = true
			_, c.fault = io.WriteString(c.conn, closeReply)
		}
	}
	c.ended = time.Now()
	got := c.buf[:n]
	if !c.socket {
		c.told = bytes.Contains(got, []byte("retry: ")) && bytes.Contains(got, []byte("event: shutdown\ndata: {\"retry\":"))
		if !c.told || !c.over(got) {
			c.fault = fmt.Errorf("event stream: %q, %w", got, err)
		}
	} else if !c.told || c.fault != nil || !errors.Is(err, io.EOF) || !isClose(got) {
		c.fault = fmt.Errorf("WebSocket: %q, %w", got, errors.Join(err, c.fault))
	}
}

// over reports whether an event stream has come to its last chunk.
func (c *client) over(got []byte) bool {
	return !c.socket && bytes.HasSuffix(got, []byte("\r\n0\r\n\r\n"))
}

// isClose reports whether got is one Close frame with code 1012 (RFC 6455, section 5.5.1).
func isClose(got []byte) bool {
	return len(got) > 3 && got[0] == 0x88 && int(got[1]) == len(got)-2 && got[2] == 0x03 && got[3] == 0xf4
}
