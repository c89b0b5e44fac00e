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
// tests. Nobody in the way, it costs two atomic operations, and its end one.
type turn struct {
	state atomic.Int32
	line  atomic.Pointer[line] // made when somebody first comes while the turn is taken, or from the drain
}

// A line is where one waits for the turn.
type line struct {
	mu    sync.Mutex    // guards following, and all changes of the state but from free, from taken to free, and from over to more of it
	freed chan struct{} // closed when the state turns free or over; nil: nobody waits
	word  *word         // what the drain wants said
}

const (
	turnFree int32 = iota
	turnTaken
	turnWanted // taken, and somebody waits or has left word
	turnOver   // taken for good: the response ends, and nobody else may touch the writer any more
	// over as well, once the response has ended:
	turnSilent   // without a word of its handler's
	turnAnswered // by the drain, in its handler's place
)

// take waits for the turn. It reports false when there is none any more.
func (t *turn) take() bool { return t.state.CompareAndSwap(turnFree, turnTaken) || t.wait(turnWanted) }

// end waits for the turn and takes it for good. It must be called once only.
func (t *turn) end() {
	if !t.state.CompareAndSwap(turnFree, turnOver) {
		t.wait(turnOver)
	}
}

// endAs says more of how the turn is over.
func (t *turn) endAs(state int32) { t.state.Store(state) }

// inLine locks the line, which the caller must unlock.
func (t *turn) inLine() *line {
	l := t.line.Load()
	if l == nil {
		l = new(line)
		if !t.line.CompareAndSwap(nil, l) {
			l = t.line.Load()
		}
	}
	l.mu.Lock()
	return l
}

// wait waits for the turn, to have it as wanted or for good. It reports false
// when it is over.
func (t *turn) wait(as int32) bool {
	l := t.inLine()
	defer l.mu.Unlock()
	for {
		switch was := t.wantLocked(); {
		case was >= turnOver:
			return false
		case was == turnFree:
			if as != turnWanted {
				t.setLocked(l, as)
			}
			return true
		}
		if l.freed == nil {
			l.freed = make(chan struct{})
		}
		freed := l.freed
		l.mu.Unlock()
		<-freed
		l.mu.Lock()
	}
}

// wantLocked makes the state wanted, unless it is over, and gives what it was.
// The line must be locked by the caller, here and below.
func (t *turn) wantLocked() (was int32) {
	for {
		was = t.state.Load()
		if was >= turnOver || t.state.CompareAndSwap(was, turnWanted) {
			return was
		}
	}
}

// setLocked ends a turn that is wanted, and lets everybody who waits try.
func (t *turn) setLocked(l *line, state int32) {
	t.state.Store(state)
	if l.freed != nil {
		close(l.freed)
		l.freed = nil
	}
}

// leave takes the turn if it was free. If somebody has it, it leaves word for
// their give to hand out.
func (t *turn) leave(w *word) (was int32) {
	l := t.inLine()
	defer l.mu.Unlock()
	was = t.wantLocked()
	if was == turnTaken || was == turnWanted {
		l.word = w
	}
	return was
}

// give ends the turn, unless word was left meanwhile: then the caller still has
// it, acts on the word and gives again. So no word falls between a holder's
// last look and its leaving.
func (t *turn) give() *word {
	if t.state.CompareAndSwap(turnTaken, turnFree) {
		return nil
	}
	l := t.inLine()
	defer l.mu.Unlock()
	if w := l.word; w != nil {
		l.word = nil
		return w
	}
	t.setLocked(l, turnFree)
	return nil
}

// unlessOver calls f, which must not wait for the peer, beside whoever has the
// turn, if it isn't over, and keeps it from being over meanwhile.
func (t *turn) unlessOver(f func()) {
	l := t.inLine()
	defer l.mu.Unlock()
	was := t.wantLocked() // so that end has to come by the lock
	if was >= turnOver {
		return
	}
	f()
	if was == turnFree {
		t.setLocked(l, turnFree)
	}
}
