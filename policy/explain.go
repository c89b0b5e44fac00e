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
type Explanation struct{ lines []string } // of the table, with a tab between two columns

// Where a field of a rule comes from, unless it is a line of a file.
const (
	originPattern = "pattern"    // Mux.Handle
	originAll     = "all routes" // Mux.Default, or a Rule that is the whole policy
	originDefault = "default"    // the field is zero
)

// Explain reports which rule each route of p has and where each field comes from. Like [Check] it
// can look into a nil Policy, a [Rule], a [*Mux], a [*Swap], and whatever has a method Explain()
// Explanation; any other Policy is named by its type. Of a Mux it reports the routes in the order
// of HandleIf and Handle, and last what no pattern matches.
//
// Rules that are closer to the response, those given to middleware.Graceful and the handler's own,
// come on top of that and are not known here.
func Explain(p Policy) Explanation {
	switch p := p.(type) {
	case nil:
		return Explanation{explainRoute("(all)")}
	case Rule:
		return Explanation{explainRoute("(all)", layer{p, originAll})}
	case *Rule:
		return Explain(*p)
	case interface{ Explain() Explanation }:
		return p.Explain()
	case interface{ explain() Explanation }: // a Mux or a Swap, also one that is embedded
		return p.explain()
	}
	return Explanation{[]string{fmt.Sprintf("(all)\t%T\trule decided for each request", p)}}
}

func (m *Mux) explain() Explanation {
	if m == nil {
		return Explain(nil)
	}
	var e Explanation
	base := layer{m.Default, cmp.Or(m.defaultAt.String(), originAll)}
	for _, r := range m.all() {
		own := layer{r.rule, cmp.Or(r.at.String(), originPattern)}
		e.lines = append(e.lines, explainRoute(r.String(), own, base)...)
	}
	e.lines = append(e.lines, explainRoute("(all others)", base)...)
	return e
}

// String returns the table: for each route a line for each origin of its fields, the defaults last.
func (e Explanation) String() string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROUTE\tFROM\tRULE")
	for _, line := range e.lines {
		fmt.Fprintln(t, line)
	}
	_ = t.Flush() // a strings.Builder returns no error
	return text.String()
}

// A layer is a rule and where it is written.
type layer struct {
	rule   Rule
	origin string
}

// explainRoute returns the table's lines for one route. The first of its layers is the strongest.
func explainRoute(name string, layers ...layer) (lines []string) {
	var whole Rule
	specified := make([][]fieldText, len(layers))
	for i, l := range layers {
		whole = whole.Over(l.rule)
		specified[i] = l.rule.fieldTexts()
	}
	var origins []string              // in the order of their first fields
	fieldsOf := map[string][]string{} // name and value, by origin
	for i, f := range whole.fieldTexts() {
		value, origin := f.byDefault, originDefault
		if k := slices.IndexFunc(specified, func(of []fieldText) bool { return of[i].specified != "" }); k >= 0 {
			value, origin = f.specified, layers[k].origin
			if !slices.Contains(origins, origin) {
				origins = append(origins, origin)
			}
		}
		if value != "" {
			fieldsOf[origin] = append(fieldsOf[origin], f.name+" "+value)
		}
	}
	if len(fieldsOf[originDefault]) > 0 {
		origins = append(origins, originDefault)
	}
	for _, origin := range origins {
		lines = append(lines, name+"\t"+origin+"\t"+strings.Join(fieldsOf[origin], ", "))
		name = "" // only the first line has it
	}
	return lines
}

// A fieldText is one field of a rule in words: what the rule specifies, "" if it is zero, and what
// a zero value stands for.
type fieldText struct{ name, specified, byDefault string }

func (r Rule) fieldTexts() []fieldText {
	f, byDefault := r.Farewell, ComeBack()
	message := quoted(f.Message)
	if f.Binary && message != "" {
		message += " (binary)"
	}
	return []fieldText{
		{"kind", unlessZero(r.Kind, r.Kind.String()), Auto.String()},
		{"grace", timeText(r.Grace), defaultGrace(r.Kind)},
		{"spread", timeText(r.Spread), "0s"},
		{"order", unlessZero(r.Order, r.Order.String()), Random.String()},
		{"priority", unlessZero(r.Priority, strconv.Itoa(r.Priority)), "0"},
		{"timeout", timeText(r.Timeout), fmt.Sprintf("%v (WebSocket: %v)", defaultTimeout, answerTimeout)},
		{"mercy", timeText(r.Mercy), timeText(defaultMercy)},
		{"maxage", timeText(r.MaxAge), ""},
		{"reconnect", unlessZero(r.Reconnect, r.Reconnect.text()), defaultWindow.text()},
		{"code", unlessZero(f.Code, strconv.Itoa(f.Code)), strconv.Itoa(byDefault.Code)},
		{"reason", quoted(f.Reason), quoted(byDefault.Reason)},
		{"message", message, ""},
		{"event", quoted(f.Event), quoted(byDefault.Event)},
		{"data", quoted(f.Data), quoted(byDefault.Data)},
		{"send", unlessZero(f.Send, f.Send.String()), SendAll.String()},
		{"format", unlessZero(r.Format, r.Format.String()), AutoFormat.String()},
		{"ending", unlessZero(r.Ending, r.Ending.String()), AutoEnding.String()},
		{"admit", unlessZero(r.Admit, "true"), "false"},
	}
}

// unlessZero returns the text of a value, or "" for the zero value.
func unlessZero[T comparable](value T, text string) string {
	if value == *new(T) {
		return ""
	}
	return text
}

func quoted(s string) string { return unlessZero(s, fmt.Sprintf("%#q", s)) }

func defaultGrace(k Kind) string {
	switch k {
	case Finite:
		return toTheEnd
	case Infinite:
		return "0s"
	default:
		return "0s (finite: " + toTheEnd + ")"
	}
}
