// Package iolock has a lock for whoever writes to a connection, or reads from one.
package iolock

import (
	"sync"
	"sync/atomic"
)

// A Lock is a mutual exclusion lock that may be held for as long as a read or a write takes, which
// can be minutes. The zero Lock is unlocked. It must not be copied after its first use.
//
// A goroutine that waits for a [sync.Mutex] is not durably blocked for testing/synctest, so that a
// peer that doesn't read would hang the tests of whoever uses one here. Those that wait for a Lock
// wait on a channel. It is made by the first that has to wait: a Lock that nobody waits for
// allocates nothing. There is no order among those that wait.
type Lock struct {
	state atomic.Int32

	mu       sync.Mutex    // guards following, and each change of the state to contended, and from it
	unlocked chan struct{} // closed by the next Unlock; nil: nobody waits
}

// The states of a Lock.
const (
	free      int32 = iota
	locked          // and nobody waits
	contended       // locked, and somebody may wait
)

// Lock locks l, and waits until it can.
func (l *Lock) Lock() {
	if !l.TryLock() {
		l.wait()
	}
}

func (l *Lock) wait() {
	for unlocked := l.announce(); unlocked != nil; unlocked = l.announce() {
		<-unlocked
	}
}

// announce makes l contended. It returns a channel that is closed by the next Unlock, or nil if l was free: then it is
// the caller's.
func (l *Lock) announce() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Swap(contended) == free {
		return nil
	}
	if l.unlocked == nil {
		l.unlocked = make(chan struct{})
	}
	return l.unlocked
}

// TryLock locks l if nobody has it locked, and reports whether it did.
func (l *Lock) TryLock() bool { return l.state.CompareAndSwap(free, locked) }

// Unlock unlocks l, which must be locked. Any goroutine may do that, not only the one that locked
// it.
func (l *Lock) Unlock() {
	if !l.state.CompareAndSwap(locked, free) {
		l.wake()
	}
}

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
