package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// An Explanation says which rule each route has, and where each field of it came from. [Explain] makes one; it prints as
// a table. It is for people at start-up, and its texts may change from one release to the next.
type Explanation []Explained

// Explained is the part of an [Explanation] that is about one route.
type Explained struct {
	// Route is the route's pattern; "(all)" for a rule that is for every route, "(all others)" for what no pattern matches.
	Route string
	// Rule is the route's rule as the policy gives it out. What it leaves zero has its default.
	Rule Rule
	// Fields are those of the rule, defaults included, in the order of Rule's own.
	Fields []Field
}

// A Field is one field of a rule that is explained.
type Field struct {
	// Name and Value are as they are written in a file.
	Name, Value string
	// From is where the value is said: "pattern", "all routes", file and line, or "default" where nobody has said it.
	From string
}

const (
	fromPattern = "pattern"
	fromAll     = "all routes"
	fromNobody  = "default"
)

// Explain reports which rule each route of p has and where each field came from. Like [Check] it can look into a nil
// Policy, a [Rule], a [*Mux], and whatever has a method Explain() Explanation; any other Policy is named by its type.
//
// What is said nearer to the response comes on top of that and is not known here: the rules given to
// middleware.Graceful, and the handler's own word.
func Explain(p Policy) Explanation {
	switch p := p.(type) {
	case nil:
		return Explanation{explain("(all)")}
	case Rule:
		return Explanation{explain("(all)", layer{p, fromAll})}
	case *Rule:
		return Explain(*p)
	case interface{ Explain() Explanation }:
		return p.Explain()
	}
	return Explanation{{Route: "(all)", Fields: []Field{{"rule", "decided for each request", fmt.Sprintf("%T", p)}}}}
}

// Explain reports the routes in the order of Handle, and last what no pattern matches. See the function [Explain].
func (m *Mux) Explain() Explanation {
	if m == nil {
		return Explain(nil)
	}
	var all Explanation
	base := layer{m.Default, cmp.Or(m.defaultAt.String(), fromAll)}
	for _, at := range m.routes {
		own := layer{at.rule, cmp.Or(at.at.String(), fromPattern)}
		all = append(all, explain(at.pattern, own, base))
	}
	return append(all, explain("(all others)", base))
}

// String returns the table: for each route a line for each place that its rule is made from, the defaults last.
func (e Explanation) String() string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROUTE\tFROM\tRULE")
	for _, x := range e {
		name := x.Route
		for _, from := range x.origins() {
			if said := x.saidAt(from); said != "" {
				fmt.Fprintf(t, "%s\t%s\t%s\n", name, from, said)
				name = ""
			}
		}
	}
	_ = t.Flush() // a Builder takes everything
	return text.String()
}

// origins are the places that x's fields came from, each once.
func (x Explained) origins() (all []string) {
	for _, f := range x.Fields {
		if f.From != fromNobody && !slices.Contains(all, f.From) {
			all = append(all, f.From)
		}
	}
	return append(all, fromNobody)
}

func (x Explained) saidAt(from string) string {
	var said []string
	for _, f := range x.Fields {
		if f.From == from {
			said = append(said, f.Name+" "+f.Value)
		}
	}
	return strings.Join(said, ", ")
}

// A layer is a rule, and where it is written.
type layer struct {
	rule Rule
	from string
}

// explain explains one route from its layers, the strongest first.
func explain(name string, layers ...layer) Explained {
	x := Explained{Route: name}
	said := make([][]facet, len(layers))
	for i, l := range layers {
		x.Rule = x.Rule.Over(l.rule)
		said[i] = l.rule.facets()
	}
	for i, f := range x.Rule.facets() {
		field := Field{f.name, f.usual, fromNobody}
		if k := slices.IndexFunc(said, func(of []facet) bool { return of[i].said != "" }); k >= 0 {
			field.Value, field.From = f.said, layers[k].from
		}
		if field.Value != "" {
			x.Fields = append(x.Fields, field)
		}
	}
	return x
}

// A facet is one field of a rule in words: what the rule says, if anything, and what holds where nobody does.
type facet struct{ name, said, usual string }

func (r Rule) facets() []facet {
	f := r.Farewell
	message := quoted(f.Message)
	if f.Binary && message != "" {
		message += " (binary)"
	}
	return []facet{
		{"kind", said(r.Kind, r.Kind.String()), Auto.String()},
		{"grace", said(r.Grace, span(r.Grace).String()), usualGrace(r.Kind)},
		{"spread", said(r.Spread, span(r.Spread).String()), "0s"},
		{"order", said(r.Order, r.Order.String()), Random.String()},
		{"priority", said(r.Priority, strconv.Itoa(r.Priority)), "0"},
		{"timeout", said(r.Timeout, span(r.Timeout).String()), span(defaultTimeout).String()},
		{"mercy", said(r.Mercy, span(r.Mercy).String()), span(defaultMercy).String()},
		{"maxage", said(r.MaxAge, span(r.MaxAge).String()), ""},
		{"reconnect", said(r.Reconnect, r.Reconnect.words()), defaultWindow.words()},
		{"code", said(f.Code, strconv.Itoa(f.Code)), strconv.Itoa(ComeBack().Code)},
		{"reason", quoted(f.Reason), quoted(ComeBack().Reason)},
		{"message", message, ""},
		{"event", quoted(f.Event), quoted(ComeBack().Event)},
		{"data", quoted(f.Data), quoted(ComeBack().Data)},
	}
}

// said returns words for a value that is set, and none for a zero one.
func said[T comparable](value T, words string) string {
	if value == *new(T) {
		return ""
	}
	return words
}

func quoted(s string) string { return said(s, fmt.Sprintf("%#q", s)) }

func usualGrace(k Kind) string {
	switch k {
	case Finite:
		return toTheEnd
	case Infinite:
		return "0s"
	default:
		return "0s (finite: " + toTheEnd + ")"
	}
}
