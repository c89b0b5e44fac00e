package middleware

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

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
	var running, forgotten []ResponseInfo
	for _, a := range e.Running {
		if a.Hijacker != "" {
			forgotten = append(forgotten, a)
		} else {
			running = append(running, a)
		}
	}
	if len(running) > 0 {
		parts = append(parts, fmt.Sprintf("%d still running, which must return when their context is canceled: %s",
			len(running), summary(running, mostNamed)))
	}
	if len(forgotten) > 0 {
		parts = append(parts, fmt.Sprintf("%d returned, but nobody closed the connection that they hijacked: %s",
			len(forgotten), summary(forgotten, mostNamed)))
	}
	if len(e.Cut) > 0 {
		parts = append(parts, fmt.Sprintf("%d cut: %s", len(e.Cut), summary(e.Cut, mostNamed)))
	}
	return "middleware: drain incomplete: " + strings.Join(parts, "; ")
}

// Unwrap returns the Cause.
func (e *IncompleteError) Unwrap() error { return e.Cause }

// summary describes up to most of the responses, and counts the others.
func summary(all []ResponseInfo, most int) string {
	var names []string
	for _, i := range all[:min(most, len(all))] {
		names = append(names, i.String())
	}
	if n := len(all) - most; n > 0 {
		names = append(names, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(names, ", ")
}

// errorOf returns the error of a drain that is over, or nil. cause is the error of the caller's
// context, if that ended first.
func (d *Drainer) errorOf(dr *drain, cause error) error {
	d.mu.Lock()
	aborted := slices.Clone(dr.aborted)
	var givenUp []*tracked.Response
	for r, of := range d.givenUp {
		if of != dr { // it was taken back
			givenUp = append(givenUp, r)
		}
	}
	d.mu.Unlock()

	e := &IncompleteError{Cause: cause}
	for _, i := range aborted {
		if i.Running {
			e.Running = append(e.Running, i)
		} else {
			e.Cut = append(e.Cut, i)
		}
	}
	for _, r := range givenUp {
		i := d.info(r, place{})
		i.Running = true
		e.Running = append(e.Running, i)
	}
	if len(e.Running) > 0 || cause != nil && len(e.Cut) > 0 {
		return e
	}
	return nil
}
