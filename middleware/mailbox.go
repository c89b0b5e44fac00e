package middleware

import "sync"

// An order is what somebody wants the conductor to do, and the conductor does on
// its own goroutine.
type order func(*conductor)

// A mailbox is how orders reach a Drainer's conductor. There is one only while it
// has something to do: whoever posts the first order has to start it.
type mailbox struct {
	mu      sync.Mutex // guards following; no other lock is taken under it
	orders  []order
	manned  bool          // there is a conductor
	closed  bool          // the last drain is over, and nothing is to run any more
	waiting chan struct{} // holds one: there are orders
}

func newMailbox() *mailbox { return &mailbox{waiting: make(chan struct{}, 1)} }

// post leaves an order, unless the mailbox is closed, and tells whether a conductor
// has to be started for it.
func (m *mailbox) post(o order) (accepted, start bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false, false
	}
	m.orders = append(m.orders, o)
	select {
	case m.waiting <- struct{}{}:
	default: // it knows already
	}
	start = !m.manned
	m.manned = true
	return true, start
}

// collect gives the orders that have come since the last time.
func (m *mailbox) collect() []order {
	m.mu.Lock()
	defer m.mu.Unlock()
	orders := m.orders
	m.orders = nil
	return orders
}

// leave ends a conductor's service, unless there are orders.
func (m *mailbox) leave() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.orders) > 0 {
		return false
	}
	m.manned = false
	return true
}

// close has later orders refused. Those that are in it are still carried out.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}
