package ws

// A turn is a lock that is held across I/O: whoever has it writes to the connection, or reads from it. Only the
// handler's own goroutines, and one that closes after them, ever wait for it. It is a channel and no sync.Mutex so that
// whoever waits is durably blocked for testing/synctest: else a peer that doesn't read would hang its users' tests.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take()    { t <- struct{}{} }
func (t turn) release() { <-t }

func (t turn) try() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}
