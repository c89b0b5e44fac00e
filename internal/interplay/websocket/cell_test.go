package websocket

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// An activity is what a handler does when the drain starts.
type activity int

const (
	idle activity = iota
	small
	large
	fragments
)

func (a activity) String() string {
	return [...]string{"idle", "writing small", "writing large", "inside a message"}[a]
}

// A cell is one combination of what the tests vary.
type cell struct {
	library
	secure   bool
	activity activity
	reads    bool // the handler reads
}

func (c cell) String() string {
	transport, reading := "plain", "never reads"
	if c.secure {
		transport = "TLS"
	}
	if c.reads {
		reading = "reads"
	}
	return fmt.Sprintf("%s/%s/%s/%s", c.name, transport, c.activity, reading)
}

// cells returns every combination that its library can do.
func cells() (all []cell) {
	for _, l := range libraries {
		for _, secure := range []bool{false, true} {
			for a := idle; a <= fragments; a++ {
				for _, reads := range []bool{true, false} {
					if (reads || !l.alwaysReads) && (a < fragments || l.canFragment) {
						all = append(all, cell{l, secure, a, reads})
					}
				}
			}
		}
	}
	return all
}

// alphabet is what messages are made of.
var alphabet = strings.Repeat("abcdefghijklmnopqrstuvwxyz", 20_000)

// text returns the message of n bytes that handlers and clients write.
func text(n int) []byte { return []byte(alphabet[:n]) }

// checkMessage returns what is wrong with a message that a handler wrote whole, or in two fragments
// of 200,000 bytes.
func checkMessage(m message) error {
	half := m.data[len(m.data)/2:]
	if m.opcode != opText || m.data != alphabet[:len(m.data)] && (len(m.data) != 400_000 || half != alphabet[:200_000] || half != m.data[:200_000]) {
		return fmt.Errorf("a message of %d bytes with opcode %#x is not one that was written: %.40q…", len(m.data), m.opcode, m.data)
	}
	return nil
}

// sendMessages sends messages, fragments and pings. Handlers answer the pings, and nothing else.
func (p *peer) sendMessages(r *rand.Rand) error {
	for range r.IntN(8) {
		var err error
		payload := text(r.IntN(200))
		switch r.IntN(3) {
		case 0:
			err = p.send(clientFrame(true, opBinary, payload))
		case 1:
			err = p.send(clientFrame(true, opPing, []byte("ping")))
		default:
			err = p.send(
				clientFrame(false, opText, payload),
				clientFrame(true, opPing, []byte("ping")),
				clientFrame(true, opContinuation, payload))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
