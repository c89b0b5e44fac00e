package stream

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/lastcall-go/lastcall/policy"
)

// A Registry holds the responses that are open. The zero Registry is ready to
// use. Its methods may be called concurrently.
//
// It is a set of shards, each a list through the entries themselves under a
// lock of its own: a request takes the lock of one shard, chosen at random,
// twice in its life, and nothing else of the registry.
type Registry struct {
	// OnChange is called, on the goroutine that made the change, when the kind
	// of a response changed after the drain had planned it, or when its farewell
	// got out. It must not block.
	// Set it before the first response.
	OnChange func(*Entry)

	shards [shards]shard

	left  atomic.Int64 // once sealed: the open entries, and one for Seal itself
	empty chan struct{}
	once  sync.Once // makes empty
}

const shards = 32

type shard struct {
	mu     sync.Mutex // guards following; taken before a Response's, never after it
	first  *Entry
	phase  phase
	before uint64           // responses that ended while serving
	ended  [outcomes]uint64 // those that ended since, by outcome

	_ [64]byte // keeps neighbours' locks out of each other's cache line
}

type phase uint8

const (
	serving phase = iota
	marked        // the drain has begun; still admitting
	sealed        // no more are admitted
)

// eachLocked calls f for the shard's entries. s.mu must be held by the caller.
func (s *shard) eachLocked(f func(*Entry)) {
	for e := s.first; e != nil; e = e.next {
		f(e)
	}
}

func (g *Registry) add(e *Entry) bool {
	s := &g.shards[rand.Uint32()%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == sealed {
		s.ended[Refused]++
		return false
	}
	e.shard, e.next = s, s.first
	if e.next != nil {
		e.next.prev = e
	}
	s.first = e
	return true
}

func (g *Registry) remove(e *Entry, o Outcome) bool {
	s := e.shard
	s.mu.Lock()
	if e.ended {
		s.mu.Unlock()
		return false
	}
	e.ended = true
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		s.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	if s.phase == serving {
		s.before++
	} else {
		s.ended[o]++
	}
	last := s.phase == sealed && g.left.Add(-1) == 0
	s.mu.Unlock()
	if last {
		close(g.emptied())
	}
	return true
}

// Mark begins the count of outcomes: what ends from now on belongs to the
// drain. New responses are still admitted.
func (g *Registry) Mark() {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		s.phase = max(s.phase, marked)
		s.mu.Unlock()
	}
}

// Seal ends admission and gives the responses that are open, in no order. A
// response whose Track is under way meanwhile is either among them or refused.
// Call it once.
func (g *Registry) Seal() []*Entry {
	g.left.Add(1) // so that it can't come to zero half-way through
	var open []*Entry
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		s.phase = sealed
		n := len(open)
		s.eachLocked(func(e *Entry) { open = append(open, e) })
		g.left.Add(int64(len(open) - n))
		s.mu.Unlock()
	}
	if g.left.Add(-1) == 0 {
		close(g.emptied())
	}
	return open
}

// Empty is closed once the registry is sealed and its last response has ended.
func (g *Registry) Empty() <-chan struct{} { return g.emptied() }

func (g *Registry) emptied() chan struct{} {
	g.once.Do(func() { g.empty = make(chan struct{}) })
	return g.empty
}

// Open gives the responses that are open now, in no order.
func (g *Registry) Open() []*Entry {
	var open []*Entry
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		s.eachLocked(func(e *Entry) { open = append(open, e) })
		s.mu.Unlock()
	}
	return open
}

// A Tally counts open responses. Those whose kind is undecided are finite.
type Tally struct {
	Finite    int // will end by themselves
	SSE       int // streams that speak SSE
	WebSocket int // streams that speak WebSocket
	Other     int // all other streams
}

// Streams is the number of infinite responses.
func (t Tally) Streams() int { return t.SSE + t.WebSocket + t.Other }

// All is the number of responses.
func (t Tally) All() int { return t.Finite + t.Streams() }

func (t *Tally) add(r *Response) {
	r.mu.Lock()
	kind, protocol := r.kindLocked(), r.protocol
	r.mu.Unlock()
	switch {
	case kind != policy.Infinite:
		t.Finite++
	case protocol == SSE:
		t.SSE++
	case protocol == WebSocket:
		t.WebSocket++
	default:
		t.Other++
	}
}

// Counts are a registry's figures at one moment.
type Counts struct {
	Open   Tally            // open now
	Before uint64           // ended before the drain began
	Ended  [outcomes]uint64 // ended since, by [Outcome]
}

// Counts gives the figures as they stand. It visits every open response.
func (g *Registry) Counts() Counts {
	var c Counts
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		s.eachLocked(func(e *Entry) { c.Open.add(&e.Response) })
		c.Before += s.before
		for o, n := range s.ended {
			c.Ended[o] += n
		}
		s.mu.Unlock()
	}
	return c
}
