package policy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
)

// A File is a policy as it is written down: a budget, a rule for every route, and rules by pattern, each of which may be
// missing. [Read] reads one:
//
//	{
//		"budget": {"total": "40s", "announce": "5s"},
//		"default": {"mercy": "500ms"},
//		"routes": {
//			"GET /live": "tell-come-back",
//			"GET /ticker": {"use": "tell-come-back", "spread": "15s", "timeout": "at once"},
//			"/ws/{room}": {
//				"kind": "infinite",
//				"spread": "10s",
//				"reconnect": {"min": "1s", "max": "20s"},
//				"farewell": {"code": 4000, "reason": "back in {retry} ms"}
//			}
//		}
//	}
//
// Fields are those of the types, in lower case. A time is a number with its unit, as [time.ParseDuration] takes it, or "at
// once" for [AtOnce] or "to the end" for [ToTheEnd]; zero says nothing, as everywhere in a Rule. A rule may be the name of
// a named rule, or lie over one that it uses: let-finish, tell-come-back, tell-stay-away, cut-at-once, leave-alone. A
// middleware.Drainer takes what [File.Mux] makes of it as its Policy, and Budget as its Budget.
//
// [json.Marshal] writes a File, with names spelled out as what they stand for, and Read reads what it writes. A decoder
// for YAML or TOML that knows [time.Duration] and [encoding.TextUnmarshaler] fills a File too, but neither takes names
// nor reports what it doesn't know; to have both, decode into an any, write that as JSON, and Read it.
type File struct {
	Budget  Budget          `json:"budget,omitzero"`
	Default Rule            `json:"default,omitzero"`
	Routes  map[string]Rule `json:"routes,omitempty"`

	budgetAt  place
	defaultAt place
	routesAt  map[string]place
}

// Read reads a policy from JSON. name is how errors and an [Explanation] call the file.
//
// The error has a line for each thing that is wrong, with the line of the file where it is: what is no JSON, unknown and
// repeated fields, values that can't be, patterns that can't be parsed or conflict, rules that are not valid and, where
// the file has a budget, a budget that leaves no time or a rule that doesn't fit it.
func Read(r io.Reader, name string) (*File, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("policy: reading %s: %w", cmp.Or(name, "a file"), err)
	}
	f := new(File)
	if err := f.parse(text, name); err != nil {
		return nil, err
	}
	return f, nil
}

// UnmarshalJSON implements [json.Unmarshaler]. It is as strict as [Read], and counts lines from where f begins.
func (f *File) UnmarshalJSON(text []byte) error {
	if string(bytes.TrimSpace(text)) == "null" { // which by convention changes nothing
		return nil
	}
	var read File
	if err := read.parse(text, ""); err != nil {
		return err
	}
	*f = read
	return nil
}

func (f *File) parse(text []byte, name string) error {
	r, faults := newReader(text, name)
	if r == nil {
		return joinedAt(faults)
	}
	r.top(f)
	m, faults := f.table()
	faults = append(append(r.faults, faults...), m.faults()...)
	budgetFaults := faultsAt(f.budgetAt, "", f.Budget.faults())
	faults = append(faults, budgetFaults...)
	// A budget that is elsewhere can't be looked at here, and half a one would blame the rules.
	if f.budgetAt != (place{}) && !r.halfBudget && len(budgetFaults) == 0 {
		for _, misfit := range m.misfits(f.Budget) {
			if misfit.at == (place{}) { // of the rule for every route, which nobody wrote down: those before it take all the time
				misfit.at = f.budgetAt
			}
			faults = append(faults, misfit)
		}
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.at.line, b.at.line) })
	return joinedAt(faults)
}

// Mux makes a new table of f's rules. The error names every pattern that can't be parsed or conflicts with another, and
// every rule that is not valid; after [Read] there is none. f's budget is not looked at.
func (f *File) Mux() (*Mux, error) {
	m, faults := f.table()
	if faults = append(faults, m.faults()...); len(faults) > 0 {
		return nil, joinedAt(faults)
	}
	return m, nil
}

// table puts what can be put into one table, in the order of the file.
func (f *File) table() (m *Mux, faults []fault) {
	m = &Mux{Default: f.Default, defaultAt: f.defaultAt}
	patterns := slices.SortedFunc(maps.Keys(f.Routes), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.routesAt[a].line, f.routesAt[b].line), cmp.Compare(a, b))
	})
	for _, pattern := range patterns {
		at := &route{pattern: pattern, rule: f.Routes[pattern], at: f.routesAt[pattern]}
		if text := m.try(at); text != "" {
			faults = append(faults, fault{at.at, text})
		}
	}
	return m, faults
}

// try is handle with words in place of a panic.
func (m *Mux) try(at *route) (problem string) {
	if panicOf(func() { m.handle(at) }) == nil {
		return ""
	}
	if bad := panicOf(func() { new(http.ServeMux).Handle(at.pattern, at) }); bad != nil {
		return fmt.Sprintf("route %q: %v", at.pattern, bad)
	}
	other := m.routes[slices.IndexFunc(m.routes, func(other *route) bool {
		var two http.ServeMux
		two.Handle(other.pattern, other)
		return panicOf(func() { two.Handle(at.pattern, at) }) != nil
	})]
	where := unlessZero(other.at, fmt.Sprintf(" on line %d", other.at.line))
	return fmt.Sprintf("route %q conflicts with %q%s: they match some of the same requests, and neither is the more specific; change one",
		at.pattern, other.pattern, where)
}

func panicOf(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// MarshalJSON implements [json.Marshaler]: it writes the table as a [File] without a budget.
func (m *Mux) MarshalJSON() ([]byte, error) {
	f := File{Default: m.Default, Routes: map[string]Rule{}}
	for _, at := range m.routes {
		f.Routes[at.pattern] = at.rule
	}
	return json.Marshal(f)
}
