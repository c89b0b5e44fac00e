package ws

import "sync/atomic"

// A turn is a lock that is held across I/O: whoever has it writes to the connection, or reads from it. The handler's own
// goroutines wait for it, one that sends what they have left held, and one that closes after them.
//
// It is no sync.Mutex, so that whoever waits is durably blocked for testing/synctest: else a peer that doesn't read would
// hang its users' tests. Nor is it a channel alone, which makes each Read and Write cost half as much again.
type turn struct {
	users atomic.Int32  // who has it, and those that wait
	next  chan struct{} // the turn, on its way from one to the next
}

func newTurn() turn { return turn{next: make(chan struct{}, 1)} }

func (t *turn) take() {
	if t.users.Add(1) > 1 {
		<-t.next
	}
}

func (t *turn) release() {
	if t.users.Add(-1) > 0 {
		t.next <- struct{}{} // never blocks: only who has the turn sends, and has it no more until somebody received
	}
}

func (t *turn) try() bool { return t.users.CompareAndSwap(0, 1) }
