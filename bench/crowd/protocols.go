package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// The farewells are the zero policy.Farewell of each protocol, byte for byte.
var (
	events = &protocol{
		request:  get("/events", "Accept: text/event-stream\r\nCache-Control: no-cache\r\n"),
		message:  "data: #\n\n",
		farewell: "retry: #\nevent: shutdown\ndata: {\"retry\":#}\n\n",
		reader:   readEvents,
	}
	stuck = &protocol{stuck: true, request: get("/stuck", "Accept: text/event-stream\r\nCache-Control: no-cache\r\n"), reader: readEvents}

	// A frame is written as its first byte, for a final text or Close frame, and its payload (RFC
	// 6455, section 5.2).
	sockets = &protocol{
		socket: true,
		request: get("/socket", "Connection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
		message:  "\x81#",
		farewell: "\x88\x03\xf4service restart; retry=#",
		reply:    []byte("\x88\x82\x00\x00\x00\x00\x03\xf4"), // a Close with the same code, its mask all zero
		reader:   readFrames,
	}
)

func get(path, header string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: crowd\r\n" + header + "\r\n"
}

// readEvents returns a function that reads the events of a body one by one. Its error is io.EOF
// only between two events and after the last chunk.
func readEvents(res *http.Response, _ *bufio.Reader) (func() (string, error), error) {
	if kind := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || kind != "text/event-stream" {
		return nil, fmt.Errorf("asked for an event stream, got %q as %q", res.Status, kind)
	}
	lines := bufio.NewReaderSize(res.Body, 64)
	return func() (string, error) {
		var event strings.Builder
		for {
			line, err := lines.ReadString('\n')
			event.WriteString(line)
			if err == io.EOF && event.Len() > 0 {
				err = io.ErrUnexpectedEOF
			}
			if err != nil || line == "\n" {
				return event.String(), err
			}
		}
	}, nil
}

// readFrames returns a function that reads the frames of a WebSocket one by one, which must be
// short. Its error is io.EOF only between two frames.
func readFrames(res *http.Response, in *bufio.Reader) (func() (string, error), error) {
	// The reply to the key of the request, which is the example of RFC 6455, section 1.3.
	if key := res.Header.Get("Sec-WebSocket-Accept"); res.StatusCode != http.StatusSwitchingProtocols ||
		key != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		return nil, fmt.Errorf("asked for a WebSocket, got %q with the key %q", res.Status, key)
	}
	return func() (string, error) {
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return "", err
		}
		if head[1] > 125 {
			return "", errors.New("a frame that is masked, or longer than any of the server's")
		}
		frame := make([]byte, 1+head[1])
		frame[0] = head[0]
		_, err := io.ReadFull(in, frame[1:])
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return string(frame), err
	}, nil
}
