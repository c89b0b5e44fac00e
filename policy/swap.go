package policy

import (
	"net/http"
	"sync/atomic"
)

// A Swap is a [Policy] that can be replaced by another while it is in use, such as one that is read from its file again
// on SIGHUP. The zero Swap holds none and gives every request the zero Rule. Its methods may be called concurrently; a
// request has one whole policy or the other, never a mixture.
//
// A request has its rule from its beginning on, so what is stored is for those that come after. A Swap must not be copied
// after first use, nor be stored in itself.
type Swap struct{ now atomic.Pointer[Policy] }

// Store replaces the policy by p if [Check] finds nothing wrong with p under b, which should be the budget of the Drainer
// that uses s. Otherwise the policy stays as it was, and the error says why.
func (s *Swap) Store(p Policy, b Budget) error {
	if err := Check(p, b); err != nil {
		return err
	}
	s.now.Store(&p)
	return nil
}

// Load returns the policy that was stored last, nil if none was.
func (s *Swap) Load() Policy {
	if p := s.now.Load(); p != nil {
		return *p
	}
	return nil
}

// Rule returns the rule that the policy of this moment has for req, the zero Rule where there is none.
func (s *Swap) Rule(req *http.Request) Rule {
	if p := s.Load(); p != nil {
		return p.Rule(req)
	}
	return Rule{}
}

// Check checks the policy of this moment. See the function [Check].
func (s *Swap) Check(b Budget) error { return checkRules(s.Load(), b) }

// Explain explains the policy of this moment. See the function [Explain].
func (s *Swap) Explain() Explanation { return Explain(s.Load()) }
