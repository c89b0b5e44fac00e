// Package iolock has a lock for whoever writes to a connection, or reads from one.
package iolock

import "sync"

// A Lock is a mutual exclusion lock that may be held for as long as a read or a write takes, which can be minutes. The
// zero Lock is unlocked. It must not be copied after its first use.
//
// A goroutine that waits for a [sync.Mutex] is not durably blocked for testing/synctest, so that a peer that doesn't read
// would hang the tests of whoever uses one here. Those that wait for a Lock wait on a channel. It is made by the first
// that has to wait: a Lock that nobody waits for allocates nothing. There is no order among those that wait.
type Lock struct {
	mu       sync.Mutex // guards following; held for a moment only
	locked   bool
	unlocked chan struct{} // closed by the next Unlock; nil: nobody waits
}

// Lock locks l, and waits until it can.
func (l *Lock) Lock() {
	for {
		unlocked := l.tryOrWait()
		if unlocked == nil {
			return
		}
		<-unlocked
	}
}

// tryOrWait locks l and returns nil, or returns what is closed when it is worth another try.
func (l *Lock) tryOrWait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.locked {
		l.locked = true
		return nil
	}
	if l.unlocked == nil {
		l.unlocked = make(chan struct{})
	}
	return l.unlocked
}

// TryLock locks l if nobody has it locked, and reports whether it did.
func (l *Lock) TryLock() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locked {
		return false
	}
	l.locked = true
	return true
}

// Unlock unlocks l, which must be locked. Any goroutine may do that, not only the one that locked it.
func (l *Lock) Unlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.locked {
		panic("iolock: Unlock of a Lock that is not locked")
	}
	l.locked = false
	if l.unlocked != nil {
		close(l.unlocked)
		l.unlocked = nil
	}
}
