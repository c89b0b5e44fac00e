package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// A protocol is how a client asks for a kind of stream, and what that may hold.
type protocol struct {
	stuck, socket     bool
	request           string
	message, farewell string // with # for the message's number or the slot in milliseconds
	reply             []byte // to the farewell
	reader            func(*http.Response, *bufio.Reader) (next func() (string, error), err error)
}

// A client has one stream. It reads from the raw connection and accepts nothing but what its
// protocol names.
type client struct {
	*protocol
	conn net.Conn
	next func() (string, error) // reads one whole event or frame; io.EOF where the stream ends in order
}

// open asks for a stream and reads its first message; a stuck client reads nothing.
func open(addr string, p *protocol) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, hangTimeout)
	if err != nil {
		return nil, err
	}
	c := &client{protocol: p, conn: conn}
	if err := c.begin(); err != nil {
		c.close()
		return nil, fmt.Errorf("a stream that didn't begin: %w", err)
	}
	return c, nil
}

func (c *client) begin() error {
	_ = c.conn.SetDeadline(time.Now().Add(hangTimeout)) // the connection is new: no error
	if _, err := io.WriteString(c.conn, c.request); err != nil {
		return err
	}
	in := bufio.NewReaderSize(c.conn, 256)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if c.next, err = c.reader(res, in); err != nil {
		return err
	}
	if !c.stuck {
		text, err := c.next()
		if err == nil {
			err = c.isMessage(text, 0)
		}
		if err != nil {
			return err
		}
	}
	return c.conn.SetDeadline(time.Time{})
}

// close may be called more than once, and on nil.
func (c *client) close() {
	if c != nil {
		_ = c.conn.Close()
	}
}

// follow reads the stream to its end.
func (c *client) follow() result {
	defer c.close()
	r := result{Socket: c.socket, Stuck: c.stuck}
	follow := c.toFarewell
	if c.stuck {
		follow = c.toCut
	}
	if err := follow(&r); err != nil {
		r.Fault = err.Error()
	}
	return r
}

// toFarewell reads messages up to the farewell, replies to it, and checks that nothing follows.
func (c *client) toFarewell(r *result) error {
	for n := 1; r.Told.IsZero(); n++ {
		text, err := c.next()
		now := time.Now()
		if err != nil {
			return fmt.Errorf("ended without a farewell: %w", err)
		}
		if ms, ok := number(text, c.farewell); ok {
			r.Told, r.Retry = now, time.Duration(ms)*time.Millisecond
		} else if err := c.isMessage(text, n); err != nil {
			return err
		}
	}
	if _, err := c.conn.Write(c.reply); err != nil {
		return fmt.Errorf("can't answer the farewell: %w", err)
	}
	if text, err := c.next(); err != io.EOF {
		return fmt.Errorf("%q after the farewell, and not a clean end: %w", text, err)
	}
	r.Ended = time.Now()
	return nil
}

// toCut reads what a client that has read nothing finds after its stream was cut, which must not
// look like a whole stream.
func (c *client) toCut(r *result) error {
	text, err := c.next()
	r.Ended = time.Now()
	switch {
	case err == nil:
		return fmt.Errorf("was to be stuck, and got a whole %.40q", text)
	case err == io.EOF:
		return errors.New("was cut, and looks as if it had ended in order")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("was to be cut, and is open still")
	}
	return nil
}

func (c *client) isMessage(text string, n int) error {
	if got, ok := number(text, c.message); !ok || got != n {
		return fmt.Errorf("%.200q where message %d should be", text, n)
	}
	return nil
}

// number returns the number that stands for # in text, which must match pattern to the last byte.
func number(text, pattern string) (n int, ok bool) {
	before, _, _ := strings.Cut(pattern, "#")
	digits, _ := strings.CutPrefix(text, before)
	if end := strings.IndexFunc(digits, func(c rune) bool { return c < '0' || '9' < c }); end >= 0 {
		digits = digits[:end]
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && text == strings.ReplaceAll(pattern, "#", digits)
}
