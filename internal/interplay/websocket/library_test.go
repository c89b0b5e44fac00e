package websocket

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"

	coder "github.com/coder/websocket"
	gobwas "github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
	"github.com/olahol/melody"
	xnet "golang.org/x/net/websocket"
)

// A conn is a library's connection, as a handler uses it.
type conn interface {
	write(text []byte) error
	read() // until the connection ends
	close()
}

// A fragmenter is a conn that can start a message and continue it later.
type fragmenter interface {
	// fragments writes part in a frame of its own and calls between. If that returns true it writes
	// part again and ends the message.
	fragments(part []byte, between func() bool) error
}

// A library is one way to serve WebSockets.
type library struct {
	name string
	// serve upgrades the request, calls handle with the connection, closes it and returns.
	serve       func(w http.ResponseWriter, r *http.Request, handle func(conn))
	alwaysReads bool // it reads by itself, whatever its handler does
	canFragment bool // its conns are fragmenters
	mustFinish  bool // a message has to be ended: the library holds fragments back, or a lock
	splitsLarge bool // it sends a large message in fragments by itself
	proxies     int  // how many ReverseProxies stand in front of it
}

var libraries = []library{
	{name: "gorilla", serve: serveGorilla(&gorilla.Upgrader{WriteBufferSize: 1024}, false), canFragment: true},
	{name: "gorilla with a pool of buffers", serve: serveGorilla(&gorilla.Upgrader{WriteBufferPool: new(sync.Pool)}, false), canFragment: true},
	{name: "gorilla with prepared messages", serve: serveGorilla(&gorilla.Upgrader{}, true)},
	{name: "gorilla with compression", serve: serveGorilla(&gorilla.Upgrader{EnableCompression: true, WriteBufferSize: 1024}, false), canFragment: true, splitsLarge: true},
	{name: "coder", serve: serveCoder(coder.CompressionDisabled), canFragment: true, mustFinish: true},
	{name: "coder with compression", serve: serveCoder(coder.CompressionNoContextTakeover), splitsLarge: true},
	{name: "gobwas", serve: serveGobwas, canFragment: true},
	{name: "x/net", serve: serveXNet},
	{name: "gws", serve: serveGws(false), canFragment: true, mustFinish: true},
	{name: "gws with compression", serve: serveGws(true)},
	{name: "melody", serve: serveMelody, alwaysReads: true},
	{name: "ReverseProxy", serve: serveGorilla(&gorilla.Upgrader{WriteBufferSize: 1024}, false), canFragment: true, proxies: 1},
	{name: "two ReverseProxies", serve: serveGorilla(&gorilla.Upgrader{WriteBufferSize: 1024}, false), canFragment: true, proxies: 2},
}

// proxy returns a ReverseProxy to a server.
func proxy(addr string) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: addr})
		r.Out.Host = r.In.Host // else the server behind it refuses the Origin
	}}
}

type gorillaConn struct {
	*gorilla.Conn
	prepared bool
}

func serveGorilla(u *gorilla.Upgrader, prepared bool) func(http.ResponseWriter, *http.Request, func(conn)) {
	return func(w http.ResponseWriter, r *http.Request, handle func(conn)) {
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		handle(gorillaConn{c, prepared})
	}
}

func (c gorillaConn) close() { _ = c.Close() }

func (c gorillaConn) write(text []byte) error {
	if !c.prepared {
		return c.WriteMessage(gorilla.TextMessage, text)
	}
	m, err := gorilla.NewPreparedMessage(gorilla.TextMessage, text)
	if err != nil {
		return err
	}
	return c.WritePreparedMessage(m)
}

func (c gorillaConn) read() {
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return
		}
	}
}

func (c gorillaConn) fragments(part []byte, between func() bool) error {
	w, err := c.NextWriter(gorilla.TextMessage)
	if err != nil {
		return err
	}
	if _, err := w.Write(part); err != nil || !between() {
		return err
	}
	if _, err := w.Write(part); err != nil {
		return err
	}
	return w.Close()
}

type coderConn struct {
	*coder.Conn
	ctx context.Context
}

func serveCoder(mode coder.CompressionMode) func(http.ResponseWriter, *http.Request, func(conn)) {
	return func(w http.ResponseWriter, r *http.Request, handle func(conn)) {
		c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: mode})
		if err != nil {
			return
		}
		defer c.CloseNow()
		handle(coderConn{c, r.Context()})
	}
}

func (c coderConn) close()                  { _ = c.CloseNow() }
func (c coderConn) write(text []byte) error { return c.Write(c.ctx, coder.MessageText, text) }

func (c coderConn) read() {
	for {
		if _, _, err := c.Read(c.ctx); err != nil {
			return
		}
	}
}

func (c coderConn) fragments(part []byte, between func() bool) error {
	w, err := c.Writer(c.ctx, coder.MessageText)
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := w.Write(part); err != nil {
			return err
		}
		between()
	}
	return w.Close()
}

// A gobwasConn does what gobwas leaves to its user: it keeps frames apart, and sends none after a
// Close.
type gobwasConn struct {
	net.Conn
	mu        sync.Mutex // guards closeSent, and is held while a frame is written
	closeSent bool
}

func serveGobwas(w http.ResponseWriter, r *http.Request, handle func(conn)) {
	c, _, _, err := gobwas.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer c.Close()
	handle(&gobwasConn{Conn: c})
}

func (c *gobwasConn) close() { _ = c.Close() }

func (c *gobwasConn) frame(f gobwas.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeSent {
		return net.ErrClosed
	}
	c.closeSent = f.Header.OpCode == gobwas.OpClose
	return gobwas.WriteFrame(c.Conn, f)
}

func (c *gobwasConn) write(text []byte) error { return c.frame(gobwas.NewTextFrame(text)) }

func (c *gobwasConn) read() {
	for {
		f, err := gobwas.ReadFrame(c.Conn)
		if err != nil {
			return
		}
		if f.Header.Masked {
			f = gobwas.UnmaskFrameInPlace(f)
		}
		switch f.Header.OpCode {
		case gobwas.OpPing:
			err = c.frame(gobwas.NewPongFrame(f.Payload))
		case gobwas.OpClose:
			_ = c.frame(gobwas.NewCloseFrame(f.Payload))
			return
		}
		if err != nil {
			return
		}
	}
}

func (c *gobwasConn) fragments(part []byte, between func() bool) error {
	if err := c.frame(gobwas.NewFrame(gobwas.OpText, false, part)); err != nil || !between() {
		return err
	}
	return c.frame(gobwas.NewFrame(gobwas.OpContinuation, true, part))
}

type xnetConn struct{ *xnet.Conn }

func serveXNet(w http.ResponseWriter, r *http.Request, handle func(conn)) {
	xnet.Handler(func(c *xnet.Conn) { handle(xnetConn{c}) }).ServeHTTP(w, r)
}

func (c xnetConn) close()                  { _ = c.Close() }
func (c xnetConn) write(text []byte) error { return xnet.Message.Send(c.Conn, string(text)) }

func (c xnetConn) read() {
	for {
		var p []byte
		if err := xnet.Message.Receive(c.Conn, &p); err != nil {
			return
		}
	}
}

type gwsConn struct{ *gws.Conn }

type gwsEvents struct{ gws.BuiltinEventHandler }

func (gwsEvents) OnPing(c *gws.Conn, payload []byte) { _ = c.WritePong(payload) }
func (gwsEvents) OnMessage(_ *gws.Conn, m *gws.Message) {
	_ = m.Close()
}

func serveGws(compress bool) func(http.ResponseWriter, *http.Request, func(conn)) {
	u := gws.NewUpgrader(gwsEvents{}, &gws.ServerOption{PermessageDeflate: gws.PermessageDeflate{Enabled: compress}})
	return func(w http.ResponseWriter, r *http.Request, handle func(conn)) {
		c, err := u.Upgrade(w, r)
		if err != nil {
			return
		}
		defer c.NetConn().Close()
		handle(gwsConn{c})
	}
}

func (c gwsConn) close()                  { _ = c.NetConn().Close() }
func (c gwsConn) write(text []byte) error { return c.WriteMessage(gws.OpcodeText, text) }
func (c gwsConn) read()                   { c.ReadLoop() }

func (c gwsConn) fragments(part []byte, between func() bool) error {
	return c.WriteFile(gws.OpcodeText, &parts{part: part, left: 2, between: between})
}

// parts is a reader of part, twice, which gws sends in frames of 128 KiB. It calls between before
// the second.
type parts struct {
	part    []byte
	left    int    // how many parts are still to come
	rest    []byte // of the part that is being read
	between func() bool
}

func (p *parts) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.left == 0 {
			return 0, io.EOF
		}
		if p.left--; p.left == 0 {
			p.between()
		}
		p.rest = p.part
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// A melodyConn waits until a message has been sent, since melody only queues it.
type melodyConn struct {
	*melody.Session
	sent  <-chan struct{}
	ended <-chan struct{}
}

func serveMelody(w http.ResponseWriter, r *http.Request, handle func(conn)) {
	m := melody.New()
	defer m.Close()
	sent, ended := make(chan struct{}, 1), make(chan struct{})
	m.HandleSentMessage(func(*melody.Session, []byte) { sent <- struct{}{} })
	var handlers sync.WaitGroup
	m.HandleConnect(func(s *melody.Session) {
		handlers.Go(func() { handle(melodyConn{s, sent, ended}) })
	})
	_ = m.HandleRequest(w, r) // until the peer is gone
	close(ended)
	handlers.Wait()
}

func (c melodyConn) close() {}
func (c melodyConn) read()  { <-c.ended }

func (c melodyConn) write(text []byte) error {
	if err := c.Session.Write(text); err != nil {
		return err
	}
	select {
	case <-c.sent:
		return nil
	case <-c.ended:
		return net.ErrClosed
	}
}
