package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A score is what the judge has seen.
type score struct {
	config
	began    time.Time
	took     time.Duration // all of it
	routes   []*route
	cases    []caseScore
	checks   map[string]int // by rule
	failed   map[string]int
	findings []finding
}

type caseScore struct {
	Name   string        `json:"name"`
	Took   time.Duration `json:"took_ns"`
	Status int           `json:"status"` // of the process; -1: not known, or ended by a signal
	Killed bool          `json:"killed"`
}

// A finding is a rule that is broken, and how often in the same way.
type finding struct {
	Rule  string `json:"rule"`
	Route string `json:"route,omitempty"`
	Case  string `json:"case"` // the first one
	Text  string `json:"text"` // of the first one
	Times int    `json:"times"`
	Page  string `json:"page"` // on the rule
}

// pages is where the rules are explained.
const pages = "https://github.com/lastcall-go/lastcall/blob/main/docs/drill-rules.md"

// page returns the address of a rule's section.
func page(number string) string { return pages + "#" + strings.ReplaceAll(number, ".", "") }

func newScore(cfg config) *score {
	return &score{config: cfg, began: time.Now(), checks: map[string]int{}, failed: map[string]int{}}
}

func (s *score) begin(name string) { s.cases = append(s.cases, caseScore{Name: name}) }

func (s *score) end(p *process, took time.Duration, killed bool) {
	c := &s.cases[len(s.cases)-1]
	c.Took, c.Status, c.Killed = took, p.status, killed
}

// check notes whether a rule was kept; if not, why.
func (s *score) check(number, route string, kept bool, format string, args ...any) {
	s.checks[number]++
	if kept {
		return
	}
	s.failed[number]++
	route = printable(route)
	i := slices.IndexFunc(s.findings, func(f finding) bool { return f.Rule == number && f.Route == route })
	if i < 0 {
		s.findings = append(s.findings, finding{Rule: number, Route: route, Case: s.cases[len(s.cases)-1].Name, Text: printable(fmt.Sprintf(format, args...)), Page: page(number)})
		i = len(s.findings) - 1
	}
	s.findings[i].Times++
}

func (s *score) broken() bool { return len(s.findings) > 0 }
