package middleware

import "sync"

// A turn is the right to write to a response. Whoever has it may be inside a
// write to a slow peer for minutes, so the drain never waits for it: it leaves
// word, and the holder acts on that when it is done.
//
// It is a mutex and a condition rather than a mutex alone because mu is then
// never held over I/O.
type turn struct {
	mu   sync.Mutex
	free sync.Cond // signalled when taken turns false
	// guarded by mu
	taken bool
	over  bool  // the response has ended: nobody may touch the writer any more
	word  *word // what the drain wants said
}

func (t *turn) init() { t.free.L = &t.mu }

// take waits for the turn.
func (t *turn) take() {
	t.mu.Lock()
	for t.taken {
		t.free.Wait()
	}
	t.taken = true
	t.mu.Unlock()
}

// end gives the turn for the last time.
func (t *turn) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken, t.over, t.word = false, true, nil
	t.free.Broadcast()
}

// unlessOver calls f, which must not wait for the peer, if the response hasn't
// ended, and keeps it from ending meanwhile.
func (t *turn) unlessOver(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		f()
	}
}

// leave takes the turn if it is free. If not, it leaves word for the holder's
// give to hand out.
func (t *turn) leave(word *word) (taken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken {
		t.word = word
		return false
	}
	t.taken = true
	return true
}

// give ends the turn, unless word was left meanwhile: then the caller still has
// it, acts on the word and gives again. So no word falls between a holder's
// last look and its leaving.
func (t *turn) give() (word *word) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if word, t.word = t.word, nil; word == nil {
		t.taken = false
		t.free.Signal()
	}
	return word
}
