package policy

import (
	"net/http"
	"sync/atomic"
)

// A Swap is a [Policy] that holds another one, which can be replaced while it is in use: a file
// that is read again on SIGHUP, for example. The zero Swap holds none and gives every request the
// zero Rule.
//
// Its methods may be called concurrently. Each request gets its rule from one policy, when it
// begins: Store doesn't change the rules of responses that are open. A Swap must not be copied
// after first use, nor be stored in itself.
type Swap struct{ current atomic.Pointer[Policy] }

// Store makes p the current policy if [Check] finds nothing wrong with it. Otherwise it returns the
// error of Check and changes nothing. b should be the Budget of the Drainer whose Policy s is. p
// may be nil.
func (s *Swap) Store(p Policy, b Budget) error {
	if err := Check(p, b); err != nil {
		return err
	}
	s.current.Store(&p)
	return nil
}

// Load returns the current policy, nil if none was stored.
func (s *Swap) Load() Policy {
	if p := s.current.Load(); p != nil {
		return *p
	}
	return nil
}

// Rule returns the current policy's rule for req, the zero Rule if there is no policy.
func (s *Swap) Rule(req *http.Request) Rule {
	if p := s.Load(); p != nil {
		return p.Rule(req)
	}
	return Rule{}
}

func (s *Swap) check(b Budget) error { return checkRules(s.Load(), b) }

func (s *Swap) explain() Explanation { return Explain(s.Load()) }
