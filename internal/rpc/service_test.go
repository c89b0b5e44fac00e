package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/stream"
)

// The procedures of the service under test. Watch and Chat never end by themselves.
const (
	unary = "/test.Service/Unary"
	list  = "/test.Service/List"
	watch = "/test.Service/Watch"
	chat  = "/test.Service/Chat"
)

// A service is what the handlers of every library do. A call's request begins with its name, which
// is one of its client's own, and says behind that what the handler is to do, separated by spaces.
type service struct {
	server string  // which of the servers this is
	ledger *ledger // nil: nothing is noted
}

// A ledger is what the handlers of all servers have done.
type ledger struct {
	mu       sync.Mutex // guards following
	begun    map[string][]arrival
	produced map[string]int // how often a call's whole result was handed to its library
}

type arrival struct {
	server string
	at     time.Time
}

func newLedger() *ledger {
	return &ledger{begun: map[string][]arrival{}, produced: map[string]int{}}
}

func (l *ledger) arrivals(name string) []arrival {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun[name]
}

func (s *service) begin(request string) (name string, does []string) {
	words := strings.Fields(request)
	if s.ledger == nil {
		return words[0], words[1:]
	}
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.ledger.begun[words[0]] = append(s.ledger.begun[words[0]], arrival{s.server, time.Now()})
	return words[0], words[1:]
}

func (s *service) produce(name string) {
	if s.ledger == nil {
		return
	}
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.ledger.produced[name]++
}

// errOwn is an error of the handler's own; each library gives it its own form.
var errOwn = errors.New("the handler's own")

// unary answers with the call's name after the time given.
func (s *service) unary(ctx context.Context, request string) (string, error) {
	name, does := s.begin(request)
	took, _ := time.ParseDuration(does[0])
	if err := pause(ctx, took); err != nil {
		return "", ended(does, err)
	}
	s.produce(name)
	return name, nil
}

// list sends so many messages, with the time given between two.
func (s *service) list(ctx context.Context, request string, send func(string) error) error {
	name, does := s.begin(request)
	var n, size int
	_, _ = fmt.Sscan(does[0], &n)
	_, _ = fmt.Sscan(does[1], &size)
	gap, _ := time.ParseDuration(does[2])
	for i := range n {
		if err := send(fmt.Sprintf("%s/%d/%s", name, i, strings.Repeat("x", size))); err != nil {
			return err
		}
		if err := pause(ctx, gap); err != nil {
			return ended(does, err)
		}
	}
	s.produce(name)
	return nil
}

// watch sends messages until it is ended.
func (s *service) watch(ctx context.Context, request string, send func(string) error) error {
	name, does := s.begin(request)
	var size int
	_, _ = fmt.Sscan(does[0], &size)
	gap, _ := time.ParseDuration(does[1])
	if s.server == "second" {
		gap *= 10_000 // nothing is to be seen there
	}
	if does[2] == "draining" {
		var stop context.CancelFunc
		ctx, stop = context.WithCancel(ctx)
		defer stop()
		draining := stream.Draining(ctx)
		go func() {
			select {
			case <-draining:
				stop()
			case <-ctx.Done():
			}
		}()
	}
	for i := 0; gap > 0; i++ {
		if err := send(fmt.Sprintf("%s/%d/%s", name, i, strings.Repeat("x", size))); err != nil {
			return err
		}
		if err := pause(ctx, gap); err != nil {
			return ended(does, err)
		}
	}
	<-ctx.Done()
	return ended(does, ctx.Err())
}

// chat sends back what it receives, until it is ended.
func (s *service) chat(ctx context.Context, receive func() (string, error), send func(string) error) error {
	for first := true; ; first = false {
		said, err := receive()
		if err != nil {
			return err
		}
		if first {
			s.begin(said)
		}
		if err := send(said); err != nil {
			return err
		}
	}
}

// ended returns what a handler returns that was ended: nothing, an error of its own, or the
// context's.
func ended(does []string, err error) error {
	switch does[len(does)-1] {
	case "nil":
		return nil
	case "own":
		return errOwn
	}
	return err
}

// pause waits for a while, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
