package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/request"
)

// A judge judges one server.
type judge struct {
	ctx context.Context // when it ends, so does the server
	config
	log    io.Writer
	routes []*route
	score  *score
}

// A judgedCase is a server from its start to its end, which SIGTERM brings at one moment. play
// opens clients, sends SIGTERM, and returns what judges them when the process has ended.
type judgedCase struct {
	name string
	play func(j *judge, p *process) (judgeClients func())
}

var cases = []judgedCase{
	{"with nothing open", (*judge).idle},
	{"under load", (*judge).load},
	{"before the first byte", (*judge).early},
	{"with requests half sent", (*judge).half},
	{"with peers that read nothing", (*judge).stuck},
	{"as new clients come", (*judge).late},
}

func (j *judge) run(requests []request.Request) error {
	if j.pid != 0 {
		return j.runCase(judgedCase{"under load, as new clients come", (*judge).late}, requests)
	}
	for _, c := range cases {
		if err := j.runCase(c, requests); err != nil {
			return err
		}
	}
	return j.restart()
}

// runCase starts the server, plays the case, and judges. In the first one the routes are looked at.
func (j *judge) runCase(c judgedCase, requests []request.Request) error {
	p, err := j.start()
	if err != nil {
		return err
	}
	defer p.close()
	if j.routes == nil {
		if err := j.look(p, requests); err != nil {
			return err
		}
		j.score.routes = j.routes
	}
	j.score.begin(c.name)
	judgeClients := c.play(j, p)
	if err := j.end(p); err != nil {
		return err
	}
	judgeClients()
	return nil
}

// end waits for the process's end and judges it. A server that has ended before it was told to, or
// can't be ended, can't be judged.
func (j *judge) end(p *process) error {
	killed, err := p.end(j.ctx, j.limit)
	switch {
	case err != nil:
		return err
	case j.ctx.Err() != nil:
		return errInterrupted
	case p.endedBefore:
		return fmt.Errorf("the server ended by itself, %s, before SIG%s: %s", j.score.cases[len(j.score.cases)-1].Name, j.signal, p.how)
	}
	j.score.end(p, p.endedAt.Sub(p.signaled), killed)
	j.score.check("6.1", "", !killed, "the process had not ended %v after SIG%s, and took SIGKILL", j.limit, j.signal)
	if !killed && !p.attached {
		j.score.check("6.2", "", p.status == 0, "the process ended with %s", p.how)
	}
	return nil
}

func (j *judge) idle(p *process) func() {
	p.terminate()
	return func() {}
}

// openAll opens clients on all routes: on streams first, and waits until each has its first byte,
// or for a second; then on answers, each so early that it is half done when openAll returns, but by
// no more than mostLead.
func (j *judge) openAll(p *process) (all []*client) {
	var answers []*route
	for _, r := range j.routes {
		if r.ended && !r.socket {
			answers = append(answers, r)
			continue
		}
		for i := range j.clients {
			all = append(all, j.open(r, i%2 == 0))
		}
	}
	timeout, cancel := context.WithTimeout(j.ctx, time.Second)
	defer cancel()
	for _, c := range all {
		select {
		case <-c.first:
		case <-timeout.Done():
		}
	}
	lead := func(r *route) time.Duration { return min(r.took/2, mostLead) }
	slices.SortStableFunc(answers, func(a, b *route) int { return cmp.Compare(lead(b), lead(a)) })
	for i, r := range answers {
		for range j.clients {
			all = append(all, j.open(r, false))
		}
		pause := lead(r)
		if i+1 < len(answers) {
			pause -= lead(answers[i+1])
		}
		time.Sleep(pause)
	}
	if slices.ContainsFunc(all, (*client).failed) {
		p.endsNow()
	}
	return all
}

// mostLead is how long before SIGTERM an answer is asked for at most.
const mostLead = 1500 * time.Millisecond

// endWithin is how long all clients together have to end after the process has.
const endWithin = 2 * time.Second

func endAll(all []*client) {
	until := time.Now().Add(endWithin)
	for _, c := range all {
		c.endBy(until)
	}
}

// judgeLater returns a function that waits for the clients' ends and judges them.
func (j *judge) judgeLater(p *process, all []*client) func() {
	return func() {
		endAll(all)
		last := lastAnswered(all)
		for _, c := range all {
			switch {
			case c.ended.Before(p.signaled) && !c.closed: // it had ended before the signal
			case c.underWay(p.signaled):
				j.judgeOpen(c)
			default:
				j.judgeNew(c, last)
			}
		}
	}
}

func (j *judge) load(p *process) func() {
	all := j.openAll(p)
	p.terminate()
	return j.judgeLater(p, all)
}

func (j *judge) early(p *process) func() {
	var all []*client
	for i := range j.clients {
		for _, r := range j.routes {
			all = append(all, j.open(r, i%2 == 0))
		}
	}
	time.Sleep(2 * time.Millisecond)
	p.terminate()
	return func() {
		endAll(all)
		last := lastAnswered(all)
		for _, c := range all {
			if c.status == 0 || c.status >= 400 || c.end.Status == request.Unavailable {
				j.judgeNew(c, last)
			} else if c.closed || !c.ended.Before(p.signaled) {
				j.judgeOpen(c)
			}
		}
	}
}

// noticeAfter is how long a server may take to notice the signal: some look for it ten times a
// second.
const noticeAfter = 200 * time.Millisecond

// A halfSent request is one whose rest comes after the signal.
type halfSent struct {
	route  *route
	conn   *conn
	rest   string
	status int
	err    error
}

func (j *judge) half(p *process) func() {
	var halves []*halfSent
	for _, r := range j.routes {
		if r.socket || r.events || r.http2 {
			continue
		}
		conn, err := j.dialHTTP1(j.ctx)
		if err != nil {
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(sendWithin))
		text := r.Wire(j.url.Host, false)
		_, _ = io.WriteString(conn, text[:len(text)/2])
		halves = append(halves, &halfSent{route: r, conn: conn, rest: text[len(text)/2:]})
	}
	time.Sleep(50 * time.Millisecond)
	all := j.openAll(p) // meanwhile the server reads the halves
	p.terminate()
	time.Sleep(noticeAfter)
	var sending sync.WaitGroup
	for _, h := range halves {
		sending.Go(func() {
			defer h.conn.Close()
			_ = h.conn.SetDeadline(time.Now().Add(j.limit))
			_, _ = io.WriteString(h.conn, h.rest)
			res, err := http.ReadResponse(bufio.NewReader(h.conn), nil)
			if h.err = err; err == nil {
				h.conn.headerHasCome()
				h.status = res.StatusCode
				_, h.err = io.Copy(io.Discard, res.Body)
			}
		})
	}
	judgeAll := j.judgeLater(p, all)
	return func() {
		judgeAll()
		sending.Wait()
		wentOn := slices.ContainsFunc(all, func(c *client) bool { return !c.closed && c.ended.Sub(p.signaled) > 300*time.Millisecond })
		for _, h := range halves {
			if !wentOn {
				break // nothing was left to wait for
			}
			fine := h.status != 0 && (h.err == nil || h.status == http.StatusServiceUnavailable)
			j.score.check("3.6", h.route.Name(), fine, "a request whose half had come before SIGTERM has no answer: %v", h.err)
		}
	}
}

func (j *judge) stuck(p *process) func() {
	var peers []net.Conn
	for range j.clients {
		for _, r := range j.routes {
			if r.http2 {
				continue
			}
			c, err := j.dialHTTP1(j.ctx)
			if err != nil {
				continue
			}
			if b, ok := c.Conn.(interface{ SetReadBuffer(bytes int) error }); ok {
				_ = b.SetReadBuffer(4 << 10) // the kernel takes it as advice
			}
			_ = c.SetWriteDeadline(time.Now().Add(sendWithin))
			_, _ = io.WriteString(c, r.Wire(j.url.Host, r.socket))
			peers = append(peers, c)
		}
	}
	time.Sleep(300 * time.Millisecond) // they are stuck
	p.terminate()
	return func() {
		for _, c := range peers {
			c.Close()
		}
	}
}

// late opens new clients until the process has ended or its limit is up, 100 times at most.
func (j *judge) late(p *process) func() {
	all := j.openAll(p)
	p.terminate()
	var late []*client
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; n < 100 && !p.hasEnded() && time.Since(p.signaled) < j.limit; n++ {
		select {
		case <-tick.C:
		case <-p.done:
			continue
		}
		for _, r := range j.routes {
			late = append(late, j.open(r, n%2 == 0))
		}
	}
	judgeAll := j.judgeLater(p, all)
	return func() {
		judgeAll()
		endAll(late)
		last := lastAnswered(late)
		for _, c := range late {
			j.judgeNew(c, last)
		}
	}
}

// restart has clients come back by themselves to the next process.
func (j *judge) restart() error {
	p, err := j.start()
	if err != nil {
		return err
	}
	defer p.close()
	j.score.begin("through a restart")
	var all []*returning
	for i := range j.clients {
		for _, r := range j.routes {
			if r.socket || r.events {
				all = append(all, j.follow(r, i%2 == 0))
			}
		}
	}
	defer func() {
		for _, r := range all {
			r.stop()
		}
	}()
	time.Sleep(500 * time.Millisecond)
	p.terminate()
	if err := j.end(p); err != nil {
		return err
	}
	next, err := j.start()
	if err != nil {
		return fmt.Errorf("the server doesn't start a second time: %w", err)
	}
	defer next.close()
	until := time.Now().Add(backWithin)
	for _, r := range all {
		back, why := r.await(p.endedAt, until)
		j.score.check("5.2", r.route.Name(), back, "a client didn't come back to the next process: %s", why)
	}
	next.terminate()
	killed, err := next.end(j.ctx, j.limit)
	if err == nil && killed {
		j.score.check("6.1", "", false, "the process had not ended %v after SIG%s, and took SIGKILL", j.limit, j.signal)
	}
	return err
}
