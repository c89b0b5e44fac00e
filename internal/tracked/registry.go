package tracked

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// A Registry holds the responses that are open. The zero Registry is ready to use. Its methods may
// be called concurrently.
//
// It is split into shards, each a linked list under a lock of its own, so that requests on many
// processors don't wait for one lock.
type Registry struct {
	// OnChange is called, on the goroutine that made the change, with a response that the drain has
	// to look at again: one whose kind changed after it was planned, whose farewell goes out, that
	// has a maximum age, or that is watched and has ended. It must not block. Set it before the
	// first response.
	OnChange func(*Response)

	shards [32]shard

	open  atomic.Int64  // while closed: the open responses, and one more for Close itself
	empty chan struct{} // what the last Close returned; read under a shard's lock
}

type shard struct {
	mu        sync.Mutex // guards following; taken before a Response's lock, never after it
	first     *Response
	closed    bool   // no more are admitted
	counting  bool   // a drain has begun
	before    Counts // responses that ended before the drain began
	sinceThen Counts // those that ended since
}

func (g *Registry) anyShard() uint8 { return uint8(rand.Uint32() % uint32(len(g.shards))) }

// add admits the response, or counts it as refused and reports false.
func (s *shard) add(r *Response) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.sinceThen[Refused]++
		return false
	}
	r.next = s.first
	if r.next != nil {
		r.next.prev = r
	}
	s.first = r
	return true
}

func (g *Registry) remove(r *Response, o Outcome) bool {
	s := r.shard()
	s.mu.Lock()
	if r.ended {
		s.mu.Unlock()
		return false
	}
	r.ended, r.outcome = true, o
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		s.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
	if s.counting {
		s.sinceThen[o]++
	} else {
		s.before[o]++
	}
	var empty chan struct{}
	if s.closed && g.open.Add(-1) == 0 {
		empty = g.empty
	}
	watched := r.watched
	s.mu.Unlock()
	if empty != nil {
		close(empty)
	}
	if watched {
		g.changed(r)
	}
	return true
}

func (g *Registry) changed(r *Response) {
	if g.OnChange != nil {
		g.OnChange(r)
	}
}

// eachShard calls f for each shard under its lock.
func (g *Registry) eachShard(f func(*shard)) {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		f(s)
		s.mu.Unlock()
	}
}

// appendOpen appends the shard's open responses to all.
func (s *shard) appendOpen(all []*Response) []*Response {
	for r := s.first; r != nil; r = r.next {
		all = append(all, r)
	}
	return all
}

// BeginCount begins the count of outcomes of a drain. New responses are still admitted.
func (g *Registry) BeginCount() { g.eachShard(func(s *shard) { s.counting = true }) }

// Close ends admission. It returns the responses that are open, in no order, and a channel that is
// closed once the last of them has ended. A response whose Begin is under way meanwhile is either
// among them or refused. It must be called once, or again after Reopen.
func (g *Registry) Close() (open []*Response, empty <-chan struct{}) {
	g.open.Store(1) // so that it can't come to zero half-way through
	last := make(chan struct{})
	g.empty = last
	g.eachShard(func(s *shard) {
		s.closed, s.counting = true, true
		n := len(open)
		open = s.appendOpen(open)
		g.open.Add(int64(len(open) - n))
	})
	if g.open.Add(-1) == 0 {
		close(last)
	}
	return open, last
}

// Reopen takes back BeginCount and Close: responses are admitted, and what ended since BeginCount
// counts as ended before.
func (g *Registry) Reopen() {
	g.eachShard(func(s *shard) {
		s.closed, s.counting = false, false
		s.before.Add(s.sinceThen)
		s.sinceThen = Counts{}
	})
}

// Open returns the responses that are open now, in no order.
func (g *Registry) Open() (open []*Response) {
	g.eachShard(func(s *shard) { open = s.appendOpen(open) })
	return open
}

// Counts returns how many responses ended before the drain began, and since, and those that are
// open: all at one moment for each shard, so that every response is in exactly one of the three.
func (g *Registry) Counts() (before, since Counts, open []*Response) {
	g.eachShard(func(s *shard) {
		open = s.appendOpen(open)
		before.Add(s.before)
		since.Add(s.sinceThen)
	})
	return before, since, open
}
