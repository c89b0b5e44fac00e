package mcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream/mcp"
)

// A site is two servers behind a balancer. The old one is told to stop, the next one takes over.
type site struct {
	old, next *server
	told      chan struct{} // closed when the first of the standing streams that are told has ended
	sticky    bool          // while the old server drains, it still gets what belongs to its sessions

	tell sync.Once

	mu       sync.Mutex // guards following
	rng      *rand.Rand
	stopped  time.Time // when the old server was told to; zero: not yet
	owners   map[string]*server
	log      []*exchange
	after    []time.Duration // its slot a client was back; the test's own
	produced map[string]int  // how often the handlers have returned the result of the call with a token
}

// A server serves one handler until its Run returns.
type server struct {
	name      string
	network   *memnet.Network
	drainer   *middleware.Drainer
	transport *http.Transport
	stop      context.CancelFunc
	done      chan struct{}
	err       error // of Run, once done is closed
	close     func()
}

// An exchange is one request, as its client saw it.
type exchange struct {
	who      string // calls
	server   *server
	method   string
	key      string
	standing bool
	began    time.Time
	answered time.Time
	status   int
	refused  time.Duration // Retry-After
	body     *tap
}

// A tap is the body of an answer on its way to the client, which it reads too.
type tap struct {
	io.ReadCloser
	site   *site
	server *server
	url    *url.URL

	mu       sync.Mutex // guards following
	lines    bytes.Buffer
	refusals int           // of calls, of the old transport
	results  int           // of subscriptions
	shutdown bool          // the default farewell has come
	retry    time.Duration // the last retry field
	ended    time.Time
	err      error // of the last Read
	closed   bool  // the client has closed it before its end
}

// withRule and withoutRule are how the old server is set up.
func withoutRule(h http.Handler) (policy.Policy, http.Handler) { return nil, h }

func withRule(h http.Handler) (policy.Policy, http.Handler) {
	calls := new(mcp.Calls)
	return calls, calls.Handler(h)
}

type setup func(http.Handler) (policy.Policy, http.Handler)

// newSite starts two servers with handlers of make, which may return nil for what to close at the
// end.
func newSite(t *testing.T, seed uint64, rule setup, make func(*site) (http.Handler, func())) *site {
	s := &site{
		rng: rand.New(rand.NewPCG(seed, 13)), owners: map[string]*server{}, produced: map[string]int{},
		told: closedLater(),
	}
	s.sticky = s.chance()
	s.old, s.next = s.newServer("old", rule, make), s.newServer("next", rule, make)
	t.Cleanup(func() {
		for _, server := range []*server{s.old, s.next} {
			server.stop()
			<-server.done
			server.close()
			server.transport.CloseIdleConnections()
		}
	})
	return s
}

func (s *site) newServer(name string, rule setup, make func(*site) (http.Handler, func())) *server {
	h, done := make(s)
	p, h := rule(h)
	ctx, stop := context.WithCancel(context.Background())
	server := &server{
		name: name, network: memnet.New(), drainer: &middleware.Drainer{Policy: p}, stop: stop,
		done: closedLater(), close: done,
	}
	server.transport = &http.Transport{DialContext: server.network.Dial}
	srv := &http.Server{Handler: middleware.Graceful(server.drainer)(h)}
	go func() {
		defer close(server.done)
		server.err = server.drainer.Run(ctx, srv, func() error { return srv.Serve(server.network) })
		server.transport.CloseIdleConnections()
	}()
	return server
}

func closedLater() chan struct{} { return make(chan struct{}) }

func (s *server) isDone() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stopOld tells the old server to stop.
func (s *site) stopOld() {
	s.mu.Lock()
	s.stopped = time.Now()
	s.mu.Unlock()
	s.old.stop()
}

func (s *site) chance() bool { return s.between(0, 2) == 0 }

// between returns a number of [from, to).
func (s *site) between(from, to int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return from + s.rng.IntN(to-from)
}

func (s *site) ms(from, to int) time.Duration {
	return time.Duration(s.between(from, to)) * time.Millisecond
}

func (s *site) note(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.produced[token]++
}

// results returns how often the result of a call was returned: more than once means that one was
// lost.
func (s *site) results(token string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.produced[token]
}

// client returns a client that reaches the site, of the session that is called who.
func (s *site) client(who string) *http.Client { return &http.Client{Transport: door{s, who}} }

// A door is where the requests of one session come in.
type door struct {
	*site
	who string
}

// key returns what tells a session's requests from those of others, empty for those of none.
func key(r *http.Request) string {
	if id := r.Header.Get("Mcp-Session-Id"); id != "" {
		return id
	}
	return r.URL.RawQuery
}

// choose returns the server that a request goes to.
func (s *site) choose(r *http.Request) *server {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := s.owners[key(r)]
	switch {
	case s.stopped.IsZero():
		return s.old
	case s.old.isDone():
		return s.next
	case owner == s.next:
		return s.next
	case r.Method != http.MethodGet && owner == s.old && s.sticky:
		return s.old
	case s.sticky && s.rng.IntN(2) == 0: // it comes over a connection that is open, say
		return s.old
	}
	return s.next
}

// RoundTrip implements [http.RoundTripper].
func (s door) RoundTrip(r *http.Request) (*http.Response, error) {
	server := s.choose(r)
	x := &exchange{
		who: s.who, server: server, method: r.Method, key: key(r), began: time.Now(),
		standing: r.Method == http.MethodGet || r.Header.Get("Mcp-Method") == "subscriptions/listen",
	}
	resp, err := server.transport.RoundTrip(r)
	if err != nil && server == s.old && errors.Is(err, net.ErrClosed) { // it is gone
		if r.GetBody != nil {
			r = r.Clone(r.Context())
			r.Body, _ = r.GetBody()
		}
		x.server = s.next
		resp, err = s.next.transport.RoundTrip(r)
	}
	if err != nil {
		return nil, err
	}
	x.status, x.answered = resp.StatusCode, time.Now()
	if x.status == http.StatusServiceUnavailable {
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		x.refused = time.Duration(seconds) * time.Second
	}
	x.body = &tap{ReadCloser: resp.Body, site: s.site, server: x.server, url: r.URL}
	resp.Body = x.body
	s.own(resp.Header.Get("Mcp-Session-Id"), x.server)
	s.mu.Lock()
	s.log = append(s.log, x)
	s.mu.Unlock()
	return resp, nil
}

func (s *site) own(key string, server *server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key != "" && s.owners[key] == nil {
		s.owners[key] = server
	}
}

func (b *tap) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines.Write(p[:n])
	b.readLines()
	if err != nil && b.ended.IsZero() && !b.closed {
		b.ended, b.err = time.Now(), err
		if b.retry > 0 {
			b.site.tell.Do(func() { close(b.site.told) })
		}
	}
	return n, err
}

// readLines reads the lines that are complete.
func (b *tap) readLines() {
	for {
		end := bytes.IndexByte(b.lines.Bytes(), '\n')
		if end < 0 {
			return
		}
		line := strings.TrimRight(string(b.lines.Next(end+1)), "\r\n")
		field, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); field {
		case "retry":
			ms, _ := strconv.Atoi(value)
			b.retry = time.Duration(ms) * time.Millisecond
		case "event":
			b.shutdown = b.shutdown || value == "shutdown"
		case "data":
			if strings.Contains(value, `"code":-32050`) {
				b.refusals++
			}
			if strings.Contains(value, `"result":`) && strings.Contains(value, "subscriptionId") {
				b.results++
			}
			if u, err := url.Parse(value); err == nil && !strings.HasPrefix(value, "{") {
				b.site.own(u.RawQuery, b.server)
			}
		}
	}
}

func (b *tap) Close() error {
	b.mu.Lock()
	if b.ended.IsZero() {
		b.ended, b.closed = time.Now(), true
	}
	b.mu.Unlock()
	return b.ReadCloser.Close()
}

// An end is how the client saw a body's end.
type end struct {
	retry    time.Duration
	at       time.Time // zero: it has not ended
	err      error     // io.EOF: in order
	refusals int
	results  int
	shutdown bool
	closed   bool
}

func (e end) before(t time.Time) bool { return !e.at.IsZero() && e.at.Before(t) }

func (e end) story(stopped time.Time) string {
	switch {
	case e.closed:
		return fmt.Sprint(e.at.Sub(stopped), " by its client")
	case e.at.IsZero():
		return "not yet"
	}
	return fmt.Sprint(e.at.Sub(stopped), " ", e.err)
}

func (b *tap) end() end {
	b.mu.Lock()
	defer b.mu.Unlock()
	return end{b.retry, b.ended, b.err, b.refusals, b.results, b.shutdown, b.closed}
}

// exchanges returns those of which the head has come.
func (s *site) exchanges() []*exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*exchange(nil), s.log...)
}

// judge compares the old server's report with what the clients got.
func (s *site) judge(t *testing.T) {
	require.NoError(t, s.old.err)
	report := s.old.drainer.Report()
	refused, told, left := 0, 0, 0
	for _, x := range s.exchanges() {
		end := x.body.end()
		refused += end.refusals
		if x.server != s.old || end.before(s.stopped) {
			continue
		}
		// The old transport's GET is like any other where nothing is open any more: it is broken
		// off.
		late := x.method == http.MethodGet && x.began.After(s.stopped) && x.key == "" && x.status == http.StatusOK
		if !end.closed && !late { // go-sdk closes what it has seen the status of
			require.ErrorIs(t, end.err, io.EOF, "the end of %s, %d, %v after the stop", x.method, x.status, end.at.Sub(s.stopped))
		}
		switch {
		case x.status == http.StatusServiceUnavailable, x.method == http.MethodGet && x.began.After(s.stopped):
			refused++
		case x.standing && end.retry > 0:
			told++
		case x.standing && end.closed:
			left++ // perhaps while its farewell was on the way
		}
	}
	require.Zero(t, report.Cut, "responses that were cut: %+v", report.Aborted)
	require.Zero(t, report.Canceled)
	require.Zero(t, report.Broken)
	require.EqualValues(t, refused, report.Refused, "refused, as clients saw it and as reported")
	require.GreaterOrEqual(t, report.Told, uint64(told), "told, as reported and as clients saw it")
	require.LessOrEqual(t, report.Told, uint64(told+left), "told, as reported and as clients saw it")
}
