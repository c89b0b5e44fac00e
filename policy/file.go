package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
)

// A File is a policy as a file holds it: a budget, a rule for every route, and rules by pattern.
// Each of them may be missing. [Read] reads one:
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
// Keys are the names of the fields of Budget, Rule, Window and Farewell in lower case. A time is a
// number with its unit, as [time.ParseDuration] takes it, or in a rule "at once" for [AtOnce] and
// "to the end" for [ToTheEnd]; zero counts as not specified, as everywhere in a Rule. A rule may be
// the name of a named rule, or use one and specify more: let-finish, tell-come-back,
// tell-stay-away, cut-at-once, leave-alone. A middleware.Drainer takes the result of [File.Mux] as
// its Policy and Budget as its Budget.
//
// [encoding/json.Marshal] writes a File that Read reads back; named rules are written as the rules
// that they stand for. A decoder for YAML or TOML that knows [time.Duration] and
// [encoding.TextUnmarshaler] can fill a File too, but knows no named rules and ignores unknown
// keys; to have both, decode into an any, marshal that as JSON, and Read it.
type File struct {
	// Budget of the drain; zero where the file has none.
	Budget Budget `json:"budget,omitzero"`
	// Default lies under the rule of every route; see Mux.Default.
	Default Rule `json:"default,omitzero"`
	// Routes are the rules by pattern; see [Mux.Handle].
	Routes map[string]Rule `json:"routes,omitempty"`

	defaultAt position
	routesAt  map[string]position
}

// Read reads a policy from JSON. name is the file's name for errors and for an [Explanation].
//
// The error has one line for each fault, with its line in the file: text that is not JSON, unknown
// and repeated keys, values of the wrong type, patterns that can't be parsed or conflict, rules
// that are not valid and, where the file has a budget, a budget that leaves no time or a rule that
// doesn't fit it.
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

// UnmarshalJSON implements [encoding/json.Unmarshaler]. It is as strict as [Read]; errors count
// lines from the beginning of f's own text. On an error f is unchanged.
func (f *File) UnmarshalJSON(text []byte) error {
	if string(bytes.TrimSpace(text)) == "null" { // by convention no change
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
	r, err := newReader(text, name)
	if err != nil {
		return err
	}
	var budgetAt position
	budgetRead := false // without a fault
	r.object("the file", "the file", []key{
		{"budget", func(name string) {
			before := len(r.faults)
			budgetAt = r.position()
			r.budget(name, &f.Budget)
			budgetRead = len(r.faults) == before
		}},
		{"default", func(name string) { f.defaultAt = r.position(); r.rule(name, &f.Default) }},
		{"routes", func(name string) { r.routes(name, f) }},
	})
	m, faults := f.table()
	faults = append(append(r.faults, faults...), m.faults()...)
	budgetFaults := faultsAt(budgetAt, "", f.Budget.faults())
	faults = append(faults, budgetFaults...)
	if budgetRead && len(budgetFaults) == 0 {
		for _, unfit := range m.unfit(f.Budget) {
			if unfit.at == (position{}) {
				// It is the rule for every route, which is not in the file, and other rules take
				// its time.
				unfit.at = budgetAt
			}
			faults = append(faults, unfit)
		}
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.at.line, b.at.line) })
	return joinFaultsAt(faults)
}

// Mux returns a new table of f's rules. The error has one line for each pattern that can't be
// parsed or conflicts with another, and for each rule that is not valid; after [Read] there is
// none. Mux ignores f's budget: [Check] holds the rules against it.
func (f *File) Mux() (*Mux, error) {
	m, faults := f.table()
	if faults = append(faults, m.faults()...); len(faults) > 0 {
		return nil, joinFaultsAt(faults)
	}
	return m, nil
}

// table returns a Mux of those routes that can be in one, in the order of the file, and what is
// wrong with the others.
func (f *File) table() (m *Mux, faults []fault) {
	m = &Mux{Default: f.Default, defaultAt: f.defaultAt}
	patterns := slices.SortedFunc(maps.Keys(f.Routes), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.routesAt[a].line, f.routesAt[b].line), cmp.Compare(a, b))
	})
	for _, pattern := range patterns {
		r := &route{pattern: pattern, rule: f.Routes[pattern], at: f.routesAt[pattern]}
		problem := patternProblem(pattern)
		if problem == "" {
			problem = m.handle(r)
		}
		if problem != "" {
			faults = append(faults, fault{r.at, problem})
		}
	}
	return m, faults
}
