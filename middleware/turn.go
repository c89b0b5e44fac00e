package middleware

import (
	"sync"
	"sync/atomic"
)

// A turn is the right to write to a response. Whoever has it may be inside a
// write to a slow peer for minutes, so the drain never waits for it: it leaves
// word, and the holder acts on that when it is done.
//
// It is no sync.Mutex, since a goroutine that waits for one is not durably
// blocked for testing/synctest: a peer that doesn't read would hang its users'
// tests. Nobody in the way, it costs two atomic operations.
type turn struct {
	state atomic.Int32

	over  bool          // the response has ended: nobody may touch the writer any more
	mu    sync.Mutex    // guards following, over, and all changes of state but free to taken and back
	freed chan struct{} // closed when the state turns free; nil: nobody waits
	word  *word         // what the drain wants said
}

const (
	free int32 = iota
	taken
	wanted // taken, and somebody waits or has left word
)

// take waits for the turn.
func (t *turn) take() {
	if t.state.CompareAndSwap(free, taken) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.state.Swap(wanted) != free {
		if t.freed == nil {
			t.freed = make(chan struct{})
		}
		freed := t.freed
		t.mu.Unlock()
		<-freed
		t.mu.Lock()
	}
}

// leave takes the turn if it is free. If not, it leaves word for the holder's
// give to hand out.
func (t *turn) leave(w *word) (had bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state.Swap(wanted) == free {
		return true
	}
	t.word = w
	return false
}

// give ends the turn, unless word was left meanwhile: then the caller still has
// it, acts on the word and gives again. So no word falls between a holder's
// last look and its leaving.
func (t *turn) give() *word {
	if t.state.CompareAndSwap(taken, free) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.word; w != nil {
		t.word = nil
		return w
	}
	t.freeLocked()
	return nil
}

// freeLocked lets everybody who waits try. t.mu must be held by the caller.
func (t *turn) freeLocked() {
	t.state.Store(free)
	if t.freed != nil {
		close(t.freed)
		t.freed = nil
	}
}

// end gives the turn for the last time.
func (t *turn) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over, t.word = true, nil
	t.freeLocked()
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
