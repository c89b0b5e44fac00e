package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// An Explanation says which rule each route has and where each field of it comes from. [Explain]
// makes one, and String prints it as a table. It is for people at start-up: its texts may change
// from one release to the next. The zero Explanation has no route.
type Explanation struct{ routes []explainedRoute }

// An explainedRoute is the part of an Explanation that is about one route.
type explainedRoute struct {
	pattern string           // "(all)" for every route, "(all others)" for what no pattern matches
	fields  []explainedField // defaults included, in the order of Rule's own
}

// An explainedField is one field of a rule, name and value as they are written in a file.
type explainedField struct {
	name, value string
	origin      string // where the value is specified: a file and its line, or one of the origins below
}

const (
	originPattern = "pattern"    // Mux.Handle
	originAll     = "all routes" // Mux.Default, or a Rule that is the whole policy
	originDefault = "default"    // nowhere: the field is zero
)

// Explain reports which rule each route of p has and where each field comes from. Like [Check] it
// can look into a nil Policy, a [Rule], a [*Mux], and whatever has a method Explain() Explanation;
// any other Policy is named by its type.
//
// Rules that are closer to the response, those given to middleware.Graceful and the handler's own,
// come on top of that and are not known here.
func Explain(p Policy) Explanation {
	switch p := p.(type) {
	case nil:
		return explanation(explainRoute("(all)"))
	case Rule:
		return explanation(explainRoute("(all)", layer{p, originAll}))
	case *Rule:
		return Explain(*p)
	case interface{ Explain() Explanation }:
		return p.Explain()
	}
	unknown := explainedField{"rule", "decided for each request", fmt.Sprintf("%T", p)}
	return explanation(explainedRoute{"(all)", []explainedField{unknown}})
}

// Explain reports the routes in the order of HandleIf and Handle, and last what no pattern matches. See the
// function [Explain].
func (m *Mux) Explain() Explanation {
	if m == nil {
		return Explain(nil)
	}
	var e Explanation
	base := layer{m.Default, cmp.Or(m.defaultAt.String(), originAll)}
	for _, at := range m.all() {
		own := layer{at.rule, cmp.Or(at.at.String(), originPattern)}
		e.routes = append(e.routes, explainRoute(at.String(), own, base))
	}
	e.routes = append(e.routes, explainRoute("(all others)", base))
	return e
}

func explanation(routes ...explainedRoute) Explanation { return Explanation{routes} }

// String returns the table: for each route a line for each origin of its fields, the defaults last.
func (e Explanation) String() string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROUTE\tFROM\tRULE")
	for _, route := range e.routes {
		pattern := route.pattern
		for _, origin := range route.origins() {
			if fields := route.fieldsFrom(origin); fields != "" {
				fmt.Fprintf(t, "%s\t%s\t%s\n", pattern, origin, fields)
				pattern = ""
			}
		}
	}
	_ = t.Flush() // a strings.Builder returns no error
	return text.String()
}

// origins returns where the fields of the route come from, each place once, the defaults last.
func (e explainedRoute) origins() (all []string) {
	for _, f := range e.fields {
		if f.origin != originDefault && !slices.Contains(all, f.origin) {
			all = append(all, f.origin)
		}
	}
	return append(all, originDefault)
}

func (e explainedRoute) fieldsFrom(origin string) string {
	var fields []string
	for _, f := range e.fields {
		if f.origin == origin {
			fields = append(fields, f.name+" "+f.value)
		}
	}
	return strings.Join(fields, ", ")
}

// A layer is a rule and where it is written.
type layer struct {
	rule   Rule
	origin string
}

// explainRoute explains one route from its layers, the strongest first.
func explainRoute(pattern string, layers ...layer) explainedRoute {
	var whole Rule
	specified := make([][]fieldText, len(layers))
	for i, l := range layers {
		whole = whole.Over(l.rule)
		specified[i] = l.rule.fieldTexts()
	}
	route := explainedRoute{pattern: pattern}
	for i, f := range whole.fieldTexts() {
		field := explainedField{f.name, f.usual, originDefault}
		if k := slices.IndexFunc(specified, func(of []fieldText) bool { return of[i].specified != "" }); k >= 0 {
			field.value, field.origin = f.specified, layers[k].origin
		}
		if field.value != "" {
			route.fields = append(route.fields, field)
		}
	}
	return route
}

// A fieldText is one field of a rule in words: what the rule specifies, "" if it is zero, and what
// a zero value stands for.
type fieldText struct{ name, specified, usual string }

func (r Rule) fieldTexts() []fieldText {
	f, usual := r.Farewell, ComeBack()
	message := quoted(f.Message)
	if f.Binary && message != "" {
		message += " (binary)"
	}
	return []fieldText{
		{"kind", unlessZero(r.Kind, r.Kind.String()), Auto.String()},
		{"grace", timeText(r.Grace), usualGrace(r.Kind)},
		{"spread", timeText(r.Spread), "0s"},
		{"order", unlessZero(r.Order, r.Order.String()), Random.String()},
		{"priority", unlessZero(r.Priority, strconv.Itoa(r.Priority)), "0"},
		{"timeout", timeText(r.Timeout), usualTimeout},
		{"mercy", timeText(r.Mercy), timeText(defaultMercy)},
		{"maxage", timeText(r.MaxAge), ""},
		{"reconnect", unlessZero(r.Reconnect, r.Reconnect.text()), defaultWindow.text()},
		{"code", unlessZero(f.Code, strconv.Itoa(f.Code)), strconv.Itoa(usual.Code)},
		{"reason", quoted(f.Reason), quoted(usual.Reason)},
		{"message", message, ""},
		{"event", quoted(f.Event), quoted(usual.Event)},
		{"data", quoted(f.Data), quoted(usual.Data)},
		{"send", unlessZero(f.Send, f.Send.String()), SendAll.String()},
		{"format", unlessZero(r.Format, r.Format.String()), AutoFormat.String()},
		{"ending", unlessZero(r.Ending, r.Ending.String()), AutoEnding.String()},
		{"admit", unlessZero(r.Admit, "true"), "false"},
	}
}

var usualTimeout = fmt.Sprintf("%v (WebSocket: %v)", defaultTimeout, answerTimeout)

// unlessZero returns the text of a value, or "" for the zero value.
func unlessZero[T comparable](value T, text string) string {
	if value == *new(T) {
		return ""
	}
	return text
}

func quoted(s string) string { return unlessZero(s, fmt.Sprintf("%#q", s)) }

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
