package endings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An h2Conn is a client's connection with HTTP/2, which takes nothing but what RFC 9113 has servers
// send. Streams read from it what its goroutine has received.
type h2Conn struct {
	*peerConn
	framer  *http2.Framer // it checks sizes, the order of frames, and header fields
	window  int64         // of each stream, at first
	reading sync.WaitGroup

	writing chan struct{} // a lock, since in a bubble no time passes while anybody waits for a sync.Mutex
	block   bytes.Buffer  // of headers; guarded by writing
	encoder *hpack.Encoder

	mu       sync.Mutex    // guards following, and what streams have
	changed  chan struct{} // closed, and made anew, when something has changed
	streams  map[uint32]*h2Stream
	next     uint32 // stream's id
	settled  bool   // SETTINGS have come
	acked    bool   // so has the acknowledgment of ours
	connects bool   // the server takes extended CONNECTs
	initial  int64  // the server's window of a stream
	sends    int64  // that the server has room for
	room     int64  // that the server may send
	last     uint32 // that the server takes, by its GOAWAY
	goAway   bool
	fault    string
	err      error // how the connection has ended
}

// connWindow is the window of a connection that can't be another (RFC 9113, section 6.9.2).
const connWindow = 65535

func (c *h2Conn) begin() error {
	c.writing, c.changed, c.streams = make(chan struct{}, 1), make(chan struct{}), map[uint32]*h2Stream{}
	c.next, c.initial, c.sends, c.room = 1, connWindow, connWindow, connWindow
	c.encoder = hpack.NewEncoder(&c.block)
	c.framer = http2.NewFramer(c.Conn, c)
	c.framer.SetMaxReadFrameSize(16384)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	err := c.write(func() error {
		_, err := io.WriteString(c.Conn, http2.ClientPreface)
		return errors.Join(err, c.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(c.window)}))
	})
	if err == nil {
		c.reading.Go(c.receive)
	}
	return err
}

func (c *h2Conn) write(f func() error) error {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	return f()
}

// with calls f with the lock held, and wakes who waits.
func (c *h2Conn) with(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// await calls ready, with the lock held, until it reports true, the connection has ended, or, if
// there is a timer, until that has fired.
func (c *h2Conn) await(timer *time.Timer, ready func() bool) {
	var late <-chan time.Time
	if timer != nil {
		late = timer.C
	}
	for {
		c.mu.Lock()
		changed, over := c.changed, ready() || c.err != nil
		c.mu.Unlock()
		if over {
			return
		}
		select {
		case <-changed:
		case <-late:
			return
		}
	}
}

// receive takes what the server sends, up to the connection's end.
func (c *h2Conn) receive() {
	var err error
	for err == nil {
		var f http2.Frame
		if f, err = c.framer.ReadFrame(); err != nil {
			break
		}
		var answer func() error
		c.with(func() {
			var fault string
			if answer, fault = c.take(f); fault == "" {
				return
			}
			fault = fmt.Sprintf("%v: %s", f, fault)
			if s := c.streams[f.Header().StreamID]; s != nil {
				s.fault = fault
			} else {
				c.fault = fault
			}
			err = errFaulty
		})
		if answer != nil {
			_ = c.write(answer) // else the next read fails
		}
	}
	c.with(func() {
		connError, streamError := http2.ConnectionError(0), http2.StreamError{}
		if errors.As(err, &connError) || errors.As(err, &streamError) || errors.Is(err, http2.ErrFrameTooLarge) {
			c.fault = fmt.Sprintf("%v: %v", err, c.framer.ErrorDetail())
		}
		c.err = err
	})
	_ = c.Close()
}

// take takes one frame. It returns the answer to it, nil if there is none, and what is wrong.
func (c *h2Conn) take(f http2.Frame) (answer func() error, fault string) {
	id := f.Header().StreamID
	s := c.streams[id]
	switch f := f.(type) {
	case *http2.SettingsFrame:
		return c.takeSettings(f)
	case *http2.PingFrame:
		data := f.Data
		return func() error { return c.framer.WritePing(true, data) }, must(!f.IsAck(), "of a ping that wasn't sent")
	case *http2.GoAwayFrame:
		fault = must(f.ErrCode == http2.ErrCodeNo && (!c.goAway || f.LastStreamID <= c.last), "an error, or more streams than before")
		c.goAway, c.last = true, f.LastStreamID
		return nil, fault
	case *http2.WindowUpdateFrame:
		sends := &c.sends
		if s != nil {
			sends = &s.sends
		}
		*sends += int64(f.Increment)
		return nil, must((id == 0 || s != nil) && *sends < 1<<31, "too much room, or for no stream")
	}
	switch {
	case !c.settled:
		return nil, "before SETTINGS"
	case s == nil:
		return nil, "on a stream that isn't"
	case c.goAway && id > c.last:
		return nil, "on a stream that the server hasn't taken"
	}
	// net/http answers so what of the request was on its way when it ended the stream.
	reset, _ := f.(*http2.RSTStreamFrame)
	answersLate := reset != nil && reset.ErrCode == http2.ErrCodeStreamClosed && s.hasBody()
	if s.reset {
		// While net/http is writing something else it can have both that of a deadline and that of
		// a panic in its queue, and expects clients to ignore the second.
		again := reset != nil && reset.ErrCode == s.code && !s.resetAgain
		s.resetAgain = true
		return nil, must(answersLate || again, "behind RST_STREAM "+s.code.String())
	}
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return nil, s.takeHeader(f)
	case *http2.DataFrame:
		c.room -= int64(f.Length)
		s.room -= int64(f.Length)
		if c.room < 0 || s.room < 0 {
			return nil, "beyond the window"
		}
		if f.Length > 0 {
			c.room += int64(f.Length)
			n := f.Length
			answer = func() error { return c.framer.WriteWindowUpdate(0, n) }
		}
		return answer, s.takeData(f.Data(), f.StreamEnded())
	case *http2.RSTStreamFrame:
		s.reset, s.code = true, f.ErrCode
		switch {
		case s.left:
			return nil, ""
		case s.ended && s.x.method == http.MethodHead: // whose end net/http sends with the header
			return nil, ""
		case s.ended && s.x.reads.stuck > 0: // the end was still being written when its deadline had passed
			return nil, ""
		case s.ended: // the server needs no more of the request
			return nil, must(f.ErrCode == http2.ErrCodeNo && s.hasBody() || answersLate, f.ErrCode.String()+" behind the end")
		}
		return nil, must(f.ErrCode != http2.ErrCodeNo, "without an error, before the end")
	}
	return nil, "of a type that servers don't send"
}

func (c *h2Conn) takeSettings(f *http2.SettingsFrame) (answer func() error, fault string) {
	if f.IsAck() {
		fault = must(c.settled && !c.acked, "an acknowledgment of none")
		c.acked = true
		return nil, fault
	}
	c.settled = true
	err := f.ForeachSetting(func(s http2.Setting) error {
		switch s.ID {
		case http2.SettingEnablePush:
			return errors.New("a server that enables push")
		case http2.SettingEnableConnectProtocol:
			c.connects = s.Val == 1
		case http2.SettingInitialWindowSize:
			for _, of := range c.streams {
				of.sends += int64(s.Val) - c.initial
			}
			c.initial = int64(s.Val)
		}
		return s.Valid()
	})
	if err != nil {
		fault = err.Error()
	}
	return c.framer.WriteSettingsAck, fault
}

// An h2Stream is one request and its response. All but its first fields are guarded by the
// connection's lock.
type h2Stream struct {
	c  *h2Conn
	id uint32
	x  *exchange

	sends, room int64 // as the connection's
	sentAll     bool
	header      http.Header // nil: none has come
	status      int
	length      int64 // that the header declares; -1: none
	got         int64
	short       bool // the end came before the declared length
	fault       string
	in          []byte // that nobody has read yet
	ended       bool   // by END_STREAM
	reset       bool   // by the server
	code        http2.ErrCode
	resetAgain  bool
	left        bool // reset by the client, before its end
	stopped     bool // the client sends no more
}

// open sends a request, without its body. It fails when the server takes no more.
func (c *h2Conn) open(x *exchange, scheme string) (s *h2Stream, err error) {
	fields := []string{":method", x.method, ":scheme", scheme, ":authority", "memory", ":path", "/"}
	if x.upgrade != "" {
		fields[1] = http.MethodConnect
		fields = append(fields, ":protocol", x.upgrade, "sec-websocket-version", "13")
	}
	fields = append(fields, "x-exchange", strconv.Itoa(x.id))
	for name, value := range x.fields() {
		fields = append(fields, name, value)
	}
	if x.upload > 0 {
		fields = append(fields, "content-length", strconv.Itoa(x.upload))
	}
	err = c.write(func() error {
		c.with(func() {
			if c.err != nil || c.goAway {
				err = errors.Join(c.err, errGoAway)
				return
			}
			s = &h2Stream{c: c, id: c.next, x: x, sends: c.initial, room: c.window, length: -1, sentAll: true}
			s.sentAll = !s.hasBody()
			c.streams[s.id] = s
			c.next += 2
		})
		if err != nil {
			return err
		}
		c.block.Reset()
		for pair := range slices.Chunk(fields, 2) {
			if err := c.encoder.WriteField(hpack.HeaderField{Name: strings.ToLower(pair[0]), Value: pair[1]}); err != nil {
				return err
			}
		}
		return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: c.block.Bytes(), EndStream: s.sentAll, EndHeaders: true})
	})
	return s, err
}

var errFaulty = errors.New("the client has closed a connection with a fault")

var errGoAway = errors.New("the server takes no more streams")
