package middleware

import (
	"fmt"
	"strings"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

// maxNamed is how many responses an error names together; it counts the others.
const maxNamed = 4

// An IncompleteError says what a drain had to cut, and why it ended early if it did.
type IncompleteError struct {
	Cause   error          // the error of the context that ended before the drain did; nil: none did
	Cut     []ResponseInfo // cut; their handlers have returned
	Running []ResponseInfo // cut; their handlers still run, so what they use must not be closed yet
}

// Error names the cause, and up to four responses each of Running and Cut.
func (e *IncompleteError) Error() string {
	var parts []string
	if e.Cause != nil {
		parts = append(parts, fmt.Sprintf("ended early: %v", e.Cause))
	}
	add := func(what string, all []ResponseInfo) {
		if n := len(all); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s: %s", n, what, summary(all[:min(n, maxNamed)], n)))
		}
	}
	var running, forgotten []ResponseInfo
	for _, i := range e.Running {
		if i.Hijacker != "" {
			forgotten = append(forgotten, i)
		} else {
			running = append(running, i)
		}
	}
	add("still running, which must return when their context is canceled", running)
	add("returned, but nobody closed the connection that they hijacked", forgotten)
	add("cut", e.Cut)
	return "middleware: drain incomplete: " + strings.Join(parts, "; ")
}

// Unwrap returns the Cause.
func (e *IncompleteError) Unwrap() error { return e.Cause }

// summary describes the responses given, and counts the others of so many.
func summary(some []ResponseInfo, of int) string {
	var names []string
	for _, i := range some {
		names = append(names, i.String())
	}
	if n := of - len(some); n > 0 {
		names = append(names, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(names, ", ")
}

// errorOf returns the error of a drain that is over, or nil. cause is the error of the caller's
// context, if that ended first.
func (d *Drainer) errorOf(dr *drain, cause error) error {
	e := &IncompleteError{Cause: cause}
	var others []*tracked.Response
	d.mu.Lock()
	for _, i := range dr.aborted {
		if i.Running {
			e.Running = append(e.Running, i)
		} else {
			e.Cut = append(e.Cut, i)
		}
	}
	for r, of := range d.givenUp {
		if of != dr {
			others = append(others, r) // by a drain that was taken back
		}
	}
	d.mu.Unlock()
	for _, i := range d.infos(others) {
		i.Running = true
		e.Running = append(e.Running, i)
	}
	if len(e.Running) > 0 || cause != nil && len(e.Cut) > 0 {
		return e
	}
	return nil
}
