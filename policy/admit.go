package policy

import "time"

// Admits reports whether a finite response under r that begins at would have any time until it is
// canceled. Unlike the other methods it may be called concurrently with all of them.
func (p *Plan) Admits(r Rule, at time.Duration) bool { return at < r.finiteParts(p.work).grace }
