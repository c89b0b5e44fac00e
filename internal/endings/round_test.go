// Package endings compares the two sides of random responses: what the drain says became of each,
// and what its client saw, with clients that take nothing for granted. Servers drain, take that
// back, shed, and shut down, while peers are stuck, slow, gone or ahead of the server, and handlers
// do what handlers do.
//
//	go test -C internal/endings -endings.rounds=2000 -endings.seed=7
package endings

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	_ "github.com/lastcall-go/lastcall/internal/endings/xconnect"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

var (
	rounds = flag.Int("endings.rounds", 40, "how many servers are ended, with some hundred responses each")
	seed   = flag.Uint64("endings.seed", 1, "of the first round; the one behind it has the next. 0: a random one")
	real   = flag.Int("endings.loopback", 3, "the same over the loopback, in real time")
	only   = flag.String("endings.only", "", "protocol: 1, tls, 2, h2c; empty: all")
	trace  = flag.Bool("endings.v", false, "prints all exchanges of a round that fails")
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

var serverTLS, clientTLS = func() (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	// A bubble's clock begins in the year 2000.
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"memory"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}}
}()

// A round is one server with its clients, from its start to its end.
type round struct {
	seed     uint64
	t        *testing.T
	sums     *sums    // of all rounds
	network  *network // nil: the loopback, where all takes an eighth of the time
	listener net.Listener
	tls      bool   // HTTP/1.1 or HTTP/2 over it
	two      bool   // HTTP/2
	stops    string // how the drain is asked for: "run", "run, close" while it goes on, or "shutdown" without Run
	noConn   bool   // Drainer.ConnContext isn't set
	rules    []policy.Rule
	d        *middleware.Drainer
	closedAt time.Time     // when Close was called; zero: it wasn't
	over     chan struct{} // closed when clients shall not begin anything any more

	handlers sync.WaitGroup
	seen     atomic.Uint64 // requests, and tasks
	inside   atomic.Int64  // how many handlers and tasks run, inside of Graceful

	mu        sync.Mutex
	dice      *mathrand.Rand
	conns     int
	exchanges []*exchange
}

func (ro *round) dial() (net.Conn, error) {
	if ro.network == nil {
		return net.Dial("tcp", ro.listener.Addr().String())
	}
	return ro.network.dial()
}

func (ro *round) newConn() int {
	ro.mu.Lock()
	defer ro.mu.Unlock()
	ro.conns++
	return ro.conns
}

func (ro *round) find(r *http.Request) *exchange {
	id, _ := strconv.Atoi(r.Header.Get(idHeader))
	ro.mu.Lock()
	defer ro.mu.Unlock()
	return ro.exchanges[id]
}

// Rule implements [policy.Policy].
func (ro *round) Rule(r *http.Request) policy.Rule { return ro.rules[ro.find(r).id%len(ro.rules)] }

// client opens one connection after the other until the round is over.
func (ro *round) client() {
	var pause time.Duration // longer after a refusal
	for range 8 {
		timer := time.NewTimer(ro.ms(600) + pause)
		select {
		case <-ro.over:
			timer.Stop()
			return
		case <-timer.C:
		}
		var reads reader
		switch ro.of(10) {
		case 0:
			reads.chunk, reads.pause = one(ro, 1, 100, 1000), ro.ms(20)
		case 1:
			reads.stuck = ro.ms(8000)
		}
		var leaves time.Duration
		if ro.chance(15) {
			leaves = ro.ms(1500) + 1
		}
		ask := ro.session1
		if ro.two {
			ask = ro.session2
		}
		refused, more := ask(reads, leaves)
		if !more {
			return
		}
		if pause = 0; refused {
			pause = ro.least(700)
		}
	}
}

// session1 makes requests over one connection, with HTTP/1. It reports whether the last was
// refused, and whether there was a connection.
func (ro *round) session1(reads reader, leaves time.Duration) (refused, more bool) {
	raw, err := ro.dial()
	if err != nil {
		return false, false
	}
	if ro.tls {
		secure := tls.Client(raw, clientTLS)
		if secure.Handshake() != nil {
			_ = raw.Close()
			return false, false
		}
		raw = secure
	}
	reads.answers = one(ro, 0, 0, ro.ms(300), -1)
	c := &peerConn{Conn: raw, reader: reads}
	defer c.Close()
	if leaves > 0 {
		timer := time.AfterFunc(leaves, c.leave)
		defer timer.Stop()
	}
	br, conn := bufio.NewReader(c), ro.newConn()
	for range 1 + ro.of(5) {
		var all []*exchange
		text := ""
		for {
			x := ro.newExchange(conn, one(ro, "1.1", "1.1", "1.1", "1.1", "1.1", "1.1", "1.1", "1.0"))
			x.reads, x.leaves = reads, leaves > 0
			all = append(all, x)
			text += x.head()
			if x.upload > 0 || x.upgrade != "" || x.proto == "1.0" || len(all) == 3 || ro.network != nil && ro.network.harsh || !ro.chance(15) {
				break
			}
		}
		_, err := io.WriteString(c, text)
		var sending sync.WaitGroup
		if x := all[len(all)-1]; x.upload > 0 && err == nil {
			sending.Go(func() { x.sendBody(c) })
		}
		reusable := true
		for _, x := range all {
			if reusable {
				reusable = x.readResponse(c, br)
				continue
			}
			x.finish(&view{done: true, left: c.left.Load()})
		}
		if !reusable {
			_ = c.Close()
		}
		sending.Wait()
		if refused = all[0].sent(); refused || !reusable {
			return refused, true
		}
		if ro.chance(50) {
			time.Sleep(ro.ms(200))
		}
	}
	return refused, true
}

// disturb drains and sheds while the server serves.
func (ro *round) disturb(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(ro.ms(1000))
		switch ro.of(3) {
		case 0:
			ro.d.Drain()
			time.Sleep(ro.ms(700))
			_ = ro.d.Resume()
		case 1:
			shedding, cancel := context.WithTimeout(ctx, ro.ms(2000))
			_, _ = ro.d.Shed(shedding, middleware.ShedOptions{Fraction: float64(1+ro.of(10)) / 10})
			cancel()
		}
	}
}

// isOver is called when the drain is. Without an error no handler and no task may be running.
func (ro *round) isOver(err error) {
	if n := ro.inside.Load(); err == nil && n != 0 {
		ro.sums.contradicts(ro.t, "over, while handlers run", fmt.Sprintf("seed %d: %d handlers and tasks run on", ro.seed, n))
	}
}

// run plays the round.
func (ro *round) run(t *testing.T) {
	ro.t = t
	ro.dice = mathrand.New(mathrand.NewPCG(ro.seed, 5))
	proto := one(ro, "1", "1", "tls", "2", "h2c")
	switch cmp.Or(*only, proto) {
	case "tls":
		ro.tls = true
	case "2":
		ro.tls, ro.two = true, true
	case "h2c":
		ro.two = true
	}
	if ro.listener == nil {
		ro.network = newNetwork(one(ro, 2048, 4096, 65536), ro.chance(30))
		ro.listener = ro.network
	}
	ro.over = make(chan struct{})
	for range 3 {
		ro.rules = append(ro.rules, ro.newRule())
	}
	ro.d = &middleware.Drainer{Policy: ro, Budget: policy.Budget{
		Total: ro.least(2000) + ro.ms(4000), Announce: one(ro, 0, 0, ro.least(300)), Reserve: ro.least(400) + ro.ms(600),
	}}
	if ro.chance(20) {
		ro.d.Refusal = http.HandlerFunc(refuse)
	}
	graceful := ro.inFront(middleware.Graceful(ro.d)(http.HandlerFunc(ro.handle)))
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ro.handlers.Add(1)
			defer ro.handlers.Done()
			graceful.ServeHTTP(w, r)
		}),
		ErrorLog: log.New(io.Discard, "", 0), Protocols: new(http.Protocols), TLSConfig: serverTLS.Clone(),
	}
	srv.Protocols.SetHTTP1(!ro.two)
	srv.Protocols.SetHTTP2(ro.two && ro.tls)
	srv.Protocols.SetUnencryptedHTTP2(ro.two && !ro.tls)
	serve := func() error { return srv.Serve(ro.listener) }
	if ro.tls {
		serve = func() error { return srv.ServeTLS(ro.listener, "", "") }
	}

	runs := ro.chance(80)
	ro.stops = map[bool]string{true: one(ro, "run", "run", "run", "run", "run", "run", "run, close"), false: "shutdown"}[runs]
	ro.noConn = !runs && ro.chance(30)
	if !runs && !ro.noConn {
		srv.ConnContext = ro.d.ConnContext
	}
	stop, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		if runs {
			err := ro.d.Run(stop, srv, serve)
			ro.isOver(err)
			ended <- err
			return
		}
		ended <- serve()
	}()

	var all sync.WaitGroup
	for range 10 + ro.of(20) {
		all.Go(ro.client)
	}
	disturbing, calm := context.WithCancel(context.Background())
	if ro.chance(60) {
		all.Go(func() { ro.disturb(disturbing) })
	}
	time.Sleep(ro.least(500) + ro.ms(4000))
	calm()
	end()
	if !runs {
		ro.isOver(ro.d.Shutdown(context.Background()))
		rest, cancel := context.WithTimeout(context.Background(), ro.least(1000))
		_ = srv.Shutdown(rest) // net/http may have to write what its buffers hold
		cancel()
		_ = srv.Close()
	} else if ro.stops == "run, close" {
		time.Sleep(ro.ms(500))
		ro.closedAt = time.Now()
		_ = ro.d.Close()
	}
	<-ended
	close(ro.over)
	all.Wait()
	ro.handlers.Wait()
	if ro.network != nil {
		time.Sleep(time.Minute) // what net/http has left to goroutines ends
	}
	ro.judge(t)
}

func TestRandomEndings(t *testing.T) {
	play(t, *rounds, func(t *testing.T, ro *round) { synctest.Test(t, ro.run) })
}

func TestRandomEndingsOverLoopback(t *testing.T) {
	play(t, *real, func(t *testing.T, ro *round) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ro.listener = l
		ro.run(t)
	})
}

// play plays so many rounds. It prints their first seed, and what became of all responses.
func play(t *testing.T, rounds int, run func(*testing.T, *round)) {
	first := *seed
	if first == 0 {
		first = mathrand.Uint64N(1 << 40)
	}
	fmt.Printf("%s: %d rounds, -endings.seed=%d\n", t.Name(), rounds, first)
	all := &sums{faults: map[string]int{}}
	for i := range uint64(rounds) {
		t.Run(strconv.FormatUint(first+i, 10), func(t *testing.T) { run(t, &round{seed: first + i, sums: all}) })
	}
	fmt.Println(all)
}
