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

// A conn is a library's connection as a handler uses it.
type conn interface {
	write(text []byte) error
	read() // until the connection ends
	close()
}

// A fragmenter is a conn that can begin a message, and go on with it later.
type fragmenter interface {
	// fragments writes part in a frame of its own, then calls between, and then writes part again and ends the
	// message, unless between says no.
	fragments(part []byte, between func() bool) error
}

// A library is one way to serve WebSockets.
type library struct {
	name    string
	serve   func(w http.ResponseWriter, r *http.Request, play func(conn)) // upgrades, plays, closes and returns
	reads   bool                                                          // always: its reading can't be left out
	parts   bool                                                          // its conns are fragmenters
	whole   bool                                                          // but all parts have to come: it holds them back, or a lock
	cuts    bool                                                          // it sends a large message in parts by itself
	proxies int                                                           // in front of it
}

var libraries = []library{
	{name: "gorilla", serve: serveGorilla(&gorilla.Upgrader{WriteBufferSize: 1024}, false), parts: true},
	{name: "gorilla with a pool of buffers", serve: serveGorilla(&gorilla.Upgrader{WriteBufferPool: new(sync.Pool)}, false), parts: true},
	{name: "gorilla with prepared messages", serve: serveGorilla(&gorilla.Upgrader{}, true)},
	{name: "gorilla with compression", serve: serveGorilla(&gorilla.Upgrader{EnableCompression: true, WriteBufferSize: 1024}, false), parts: true, cuts: true},
	{name: "coder", serve: serveCoder(coder.CompressionDisabled), parts: true, whole: true},
	{name: "coder with compression", serve: serveCoder(coder.CompressionNoContextTakeover), cuts: true},
	{name: "gobwas", serve: serveGobwas, parts: true},
	{name: "x/net", serve: serveXNet},
	{name: "gws", serve: serveGws(false), parts: true, whole: true},
	{name: "gws with compression", serve: serveGws(true)},
	{name: "melody", serve: serveMelody, reads: true},
	{name: "ReverseProxy", serve: serveGorilla(&gorilla.Upgrader{WriteBufferSize: 1024}, false), parts: true, proxies: 1},
	{name: "two ReverseProxies", serve: serveGorilla(&gorilla.Upgrader{WriteBufferSize: 1024}, false), parts: true, proxies: 2},
}

// proxy is a ReverseProxy to a server.
func proxy(addr string) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: addr})
		r.Out.Host = r.In.Host // else the back end refuses the Origin
	}}
}

type gorillaConn struct {
	*gorilla.Conn
	prepared bool
}

func serveGorilla(u *gorilla.Upgrader, prepared bool) func(http.ResponseWriter, *http.Request, func(conn)) {
	return func(w http.ResponseWriter, r *http.Request, play func(conn)) {
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		play(gorillaConn{c, prepared})
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
	return func(w http.ResponseWriter, r *http.Request, play func(conn)) {
		c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: mode})
		if err != nil {
			return
		}
		defer c.CloseNow()
		play(coderConn{c, r.Context()})
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

// gobwas leaves it to its user that frames don't mix, and that none follows a Close.
type gobwasConn struct {
	net.Conn
	mu   sync.Mutex // guards following, and is held while a frame goes out
	over bool
}

func serveGobwas(w http.ResponseWriter, r *http.Request, play func(conn)) {
	c, _, _, err := gobwas.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer c.Close()
	play(&gobwasConn{Conn: c})
}

func (c *gobwasConn) close() { _ = c.Close() }

func (c *gobwasConn) frame(f gobwas.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return net.ErrClosed
	}
	c.over = f.Header.OpCode == gobwas.OpClose
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

func serveXNet(w http.ResponseWriter, r *http.Request, play func(conn)) {
	xnet.Handler(func(c *xnet.Conn) { play(xnetConn{c}) }).ServeHTTP(w, r)
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
	return func(w http.ResponseWriter, r *http.Request, play func(conn)) {
		c, err := u.Upgrade(w, r)
		if err != nil {
			return
		}
		defer c.NetConn().Close()
		play(gwsConn{c})
	}
}

func (c gwsConn) close()                  { _ = c.NetConn().Close() }
func (c gwsConn) write(text []byte) error { return c.WriteMessage(gws.OpcodeText, text) }
func (c gwsConn) read()                   { c.ReadLoop() }

func (c gwsConn) fragments(part []byte, between func() bool) error {
	return c.WriteFile(gws.OpcodeText, &parts{part: part, left: 2, between: between})
}

// parts reads as part, twice, for gws, which makes a frame of each 128 KiB.
type parts struct {
	part    []byte
	left    int
	rest    []byte
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

// melody queues what is written; a melodyConn waits until it is out.
type melodyConn struct {
	*melody.Session
	sent  <-chan struct{}
	ended <-chan struct{}
}

func serveMelody(w http.ResponseWriter, r *http.Request, play func(conn)) {
	m := melody.New()
	defer m.Close()
	sent, ended := make(chan struct{}, 1), make(chan struct{})
	m.HandleSentMessage(func(*melody.Session, []byte) { sent <- struct{}{} })
	var playing sync.WaitGroup
	m.HandleConnect(func(s *melody.Session) {
		playing.Go(func() { play(melodyConn{s, sent, ended}) })
	})
	_ = m.HandleRequest(w, r) // until the peer is gone
	close(ended)
	playing.Wait()
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
