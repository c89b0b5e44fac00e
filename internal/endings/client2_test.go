package endings

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"io"
	"net/http"
	"sync"
	"time"
)

// session2 is session1 with HTTP/2.
func (ro *round) session2(reads reader, leaves time.Duration) (refused, more bool) {
	raw, err := ro.dial()
	if err != nil {
		return false, false
	}
	scheme := "http"
	if ro.tls {
		scheme = "https"
		config := clientTLS.Clone()
		config.NextProtos = []string{"h2"}
		secure := tls.Client(raw, config)
		if secure.Handshake() != nil {
			_ = raw.Close()
			return false, false
		}
		raw = secure
	}
	c := &h2Conn{peerConn: &peerConn{Conn: raw, reader: reader{stuck: reads.stuck}}, window: one(ro, int64(100), 4096, connWindow, 1<<20)}
	defer c.Close()
	if c.begin() != nil {
		return false, true
	}
	defer c.reading.Wait()
	defer c.Close()
	if leaves > 0 && ro.chance(30) { // from all at once
		timer := time.AfterFunc(leaves, c.leave)
		defer timer.Stop()
	}
	conn := ro.newConn()
	var asked []*exchange
	for range 1 + ro.of(3) {
		var all sync.WaitGroup
		for range 1 + ro.of(5) {
			x := ro.newExchange(conn, "2")
			x.reads, x.leaves = reads, leaves > 0
			x.reads.answers = one(ro, 0, 0, ro.ms(300), -1)
			all.Go(func() { x.ask2(c, scheme, leaves) })
			asked = append(asked, x)
		}
		all.Wait()
		if refused = asked[len(asked)-1].sent(); refused {
			break
		}
	}
	c.judge(asked)
	return refused, true
}

// judge notes what is wrong with the connection, and what it says of its streams.
func (c *h2Conn) judge(asked []*exchange) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for _, x := range asked {
		if x.sent() {
			c.await(timer, func() bool { return c.goAway })
			break
		}
	}
	_ = c.Close()
	c.reading.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	faulty := c.fault != ""
	for _, s := range c.streams {
		faulty = faulty || s.fault != ""
		s.x.mu.Lock()
		s.x.view.untaken = c.goAway && s.id > c.last
		s.x.view.fault = cmp.Or(s.x.view.fault, s.fault)
		s.x.mu.Unlock()
	}
	for _, x := range asked {
		x.mu.Lock()
		x.view.goAway = c.goAway
		x.view.left = x.view.left || faulty && x.view.end != clean
		x.mu.Unlock()
	}
	last := asked[len(asked)-1]
	last.mu.Lock()
	defer last.mu.Unlock()
	last.view.fault = cmp.Or(last.view.fault, c.fault)
	if c.settled && !c.connects {
		last.view.fault = cmp.Or(last.view.fault, "no extended CONNECT")
	}
}

// ask2 makes one exchange over HTTP/2. The client leaves after a time; zero: it stays.
func (x *exchange) ask2(c *h2Conn, scheme string, leaves time.Duration) {
	v := view{done: true}
	var s *h2Stream
	defer func() {
		v.ended, v.readsFrom = time.Now(), c.beganToRead()
		if v.end != clean {
			v.left = c.left.Load()
			if s != nil {
				c.mu.Lock()
				v.left = v.left || s.left
				c.mu.Unlock()
			}
		}
		x.finish(&v)
	}()
	if s, v.err = c.open(x, scheme); v.err != nil {
		return
	}
	if leaves > 0 {
		timer := time.AfterFunc(leaves, s.leave)
		defer timer.Stop()
	}
	var sending sync.WaitGroup
	if x.upload > 0 {
		sending.Go(func() {
			if x.sendBody(s) {
				s.closeWrite()
			}
		})
	}
	x.readResponse2(s, &v)
	if v.end == clean || v.err == nil {
		s.leave() // what is left of the request
	}
	sending.Wait()
}

// readResponse2 reads the response.
func (x *exchange) readResponse2(s *h2Stream, v *view) {
	if v.status, v.header, v.err = s.awaitHeader(); v.err != nil {
		return
	}
	v.end = broken
	if x.upgraded(v) {
		x.readUpgraded(s, bufio.NewReader(s), v)
		return
	}
	got := &told{x: x, v: v}
	buf := make([]byte, 2048)
	for chunks := 0; ; chunks++ {
		p := buf
		if x.reads.chunk > 0 && chunks < 150 {
			time.Sleep(x.reads.pause)
			p = buf[:min(len(buf), x.reads.chunk)]
		}
		n, err := s.Read(p)
		_, _ = got.Write(p[:n])
		if err == io.EOF {
			v.end = clean
			break
		}
		if v.err = err; err != nil {
			break
		}
	}
	v.body = got.String()
	if x.method == http.MethodHead && v.end != clean && v.err == nil {
		v.fault = "no end behind the header of a HEAD"
	}
}
