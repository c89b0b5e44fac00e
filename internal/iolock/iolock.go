// Package iolock has a lock that may be held while a connection is read or written.
package iolock

import (
	"sync"
	"sync/atomic"
)

// A Lock is a mutual exclusion lock. The zero Lock is unlocked. It must not be copied after its
// first use. Waiting goroutines get it in no particular order. It allocates only where one waits.
//
// It is not a [sync.Mutex] because of testing/synctest: who waits for one of those doesn't count as
// durably blocked, so that a test in which a peer doesn't read would hang. Here they wait on a
// channel.
type Lock struct {
	state atomic.Int32

	mu       sync.Mutex    // guards unlocked, and is held to change state to or from contended
	unlocked chan struct{} // closed by the next Unlock; nil: nobody waits
}

// The states of a Lock.
const (
	free      int32 = iota
	locked          // and nobody waits
	contended       // locked, and others may wait: Unlock has to look
)

// Lock locks l, and waits until it can.
func (l *Lock) Lock() {
	if !l.TryLock() {
		l.wait()
	}
}

// wait waits until l is free, and locks it. It leaves l contended, since others may wait, too.
func (l *Lock) wait() {
	l.mu.Lock()
	for l.state.Swap(contended) != free {
		if l.unlocked == nil {
			l.unlocked = make(chan struct{})
		}
		unlocked := l.unlocked
		l.mu.Unlock()
		<-unlocked
		l.mu.Lock()
	}
	l.mu.Unlock()
}

// TryLock locks l if nobody has it locked, and reports whether it did.
func (l *Lock) TryLock() bool { return l.state.CompareAndSwap(free, locked) }

// Unlock unlocks l, which must be locked. It need not be called by the goroutine that locked it.
func (l *Lock) Unlock() {
	if !l.state.CompareAndSwap(locked, free) {
		l.wake()
	}
}

// wake unlocks l where it is contended, and wakes all who wait.
func (l *Lock) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Swap(free) != contended {
		panic("iolock: Unlock of a Lock that is not locked")
	}
	if l.unlocked != nil {
		close(l.unlocked)
		l.unlocked = nil
	}
}
