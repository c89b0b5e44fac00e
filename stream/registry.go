package stream

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/lastcall-go/lastcall/policy"
)

// A Registry holds the responses that are open. The zero Registry is ready to
// use. Its methods may be called concurrently.
//
// It is a set of shards, each a list through the entries themselves under a
// lock of its own: a request takes the lock of one shard twice in its life, and
// nothing else of the registry.
type Registry struct {
	// OnChange is called, on the goroutine that made the change, with a response
	// that the drain has to look at anew: whose kind changed after it was
	// planned, whose farewell got out, that has a maximum age, or that has ended
	// and is watched. It must not block. Set it before the first response.
	OnChange func(*Entry)

	shards [shards]shard

	left  atomic.Int64  // while sealed: the open entries, and one for Seal itself
	empty chan struct{} // of the last Seal; read under a shard's lock
}

const shards = 32

type shard struct {
	mu     sync.Mutex // guards following; taken before a Response's, never after it
	first  *Entry
	phase  phase
	before counts // responses that ended while serving
	ended  counts // those that ended since

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

// shard gives the shard of an entry: by the page that it lies on, since those that
// one processor makes in a row mostly lie on one, and find its lock in their cache.
// Go's collector doesn't move what is on the heap, so it stays the same.
func (g *Registry) shard(e *Entry) *shard {
	const page = 8 << 10 // the runtime's
	return &g.shards[uintptr(unsafe.Pointer(e))/page%shards]
}

func (g *Registry) add(e *Entry) bool {
	s := g.shard(e)
	s.mu.Lock()
	admitted := s.phase != sealed
	if admitted {
		e.next = s.first
		if e.next != nil {
			e.next.prev = e
		}
		s.first = e
	} else {
		s.ended[Refused]++
	}
	s.mu.Unlock()
	return admitted
}

func (g *Registry) remove(e *Entry, o Outcome) bool {
	s := g.shard(e)
	s.mu.Lock()
	if e.ended {
		s.mu.Unlock()
		return false
	}
	e.ended, e.outcome = true, o
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
		s.before[o]++
	} else {
		s.ended[o]++
	}
	var empty chan struct{}
	if s.phase == sealed && g.left.Add(-1) == 0 {
		empty = g.empty
	}
	watched := e.watched
	s.mu.Unlock()
	if empty != nil {
		close(empty)
	}
	if watched {
		g.changed(e)
	}
	return true
}

func (g *Registry) changed(e *Entry) {
	if g.OnChange != nil {
		g.OnChange(e)
	}
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

// Seal ends admission and gives the responses that are open, in no order, and a
// channel that is closed once the last of them has ended. A response whose Track
// is under way meanwhile is either among them or refused. Call it once, or again
// after Reopen.
func (g *Registry) Seal() (open []*Entry, empty <-chan struct{}) {
	g.left.Store(1) // so that it can't come to zero half-way through
	last := make(chan struct{})
	g.empty = last
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
		close(last)
	}
	return open, last
}

// Reopen takes back Mark and Seal, whichever came: responses are admitted, and
// what ended since Mark counts as ended before.
func (g *Registry) Reopen() {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		s.phase = serving
		s.before.add(s.ended)
		s.ended = counts{}
		s.mu.Unlock()
	}
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
	Open   Tally    // open now
	Before Outcomes // ended before the drain began
	Ended  Outcomes // ended since
}

// Counts gives the figures as they stand. It visits every open response.
func (g *Registry) Counts() Counts {
	var c Counts
	var before, ended counts
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		s.eachLocked(func(e *Entry) { c.Open.add(&e.Response) })
		before.add(s.before)
		ended.add(s.ended)
		s.mu.Unlock()
	}
	c.Before, c.Ended = before.outcomes(), ended.outcomes()
	return c
}
