package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// namedRules are the named rules by the names that a file uses.
var namedRules = map[string]func() Rule{
	"let-finish": LetFinish, "tell-come-back": TellComeBack, "tell-stay-away": TellStayAway,
	"cut-at-once": CutAtOnce, "leave-alone": LeaveAlone,
}

// MarshalJSON implements [json.Marshaler]. It leaves out zero fields; times are strings such as
// "1.5s".
func (r Rule) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Kind      Kind     `json:"kind,omitzero"`
		Grace     string   `json:"grace,omitzero"`
		Spread    string   `json:"spread,omitzero"`
		Order     Order    `json:"order,omitzero"`
		Priority  int      `json:"priority,omitzero"`
		Timeout   string   `json:"timeout,omitzero"`
		Mercy     string   `json:"mercy,omitzero"`
		MaxAge    string   `json:"maxage,omitzero"`
		Reconnect Window   `json:"reconnect,omitzero"`
		Farewell  Farewell `json:"farewell,omitzero"`
		Format    Format   `json:"format,omitzero"`
		Ending    Ending   `json:"ending,omitzero"`
		Admit     bool     `json:"admit,omitzero"`
	}{r.Kind, timeText(r.Grace), timeText(r.Spread), r.Order, r.Priority, timeText(r.Timeout), timeText(r.Mercy),
		timeText(r.MaxAge), r.Reconnect, r.Farewell, r.Format, r.Ending, r.Admit})
}

// UnmarshalJSON implements [json.Unmarshaler] for an object or the name of a named rule, as in a
// [File]. Fields that the text doesn't mention keep their values. Unknown keys are errors, invalid
// values are for [Rule.Validate] to find. On an error r is unchanged.
func (r *Rule) UnmarshalJSON(text []byte) error { return unmarshal(text, r, (*reader).rule) }

// MarshalJSON implements [json.Marshaler]. It leaves out zero fields; times are strings such as
// "25s".
func (b Budget) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Total    string `json:"total,omitzero"`
		Announce string `json:"announce,omitzero"`
		Reserve  string `json:"reserve,omitzero"`
	}{
		unlessZero(b.Total, b.Total.String()),
		unlessZero(b.Announce, b.Announce.String()),
		unlessZero(b.Reserve, b.Reserve.String()),
	})
}

// UnmarshalJSON implements [json.Unmarshaler]. Fields that the text doesn't mention keep their
// values. Unknown keys are errors. On an error b is unchanged.
func (b *Budget) UnmarshalJSON(text []byte) error { return unmarshal(text, b, (*reader).budget) }

// MarshalJSON implements [json.Marshaler]. It leaves out zero fields; times are strings such as
// "5s".
func (w Window) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Min string `json:"min,omitzero"`
		Max string `json:"max,omitzero"`
	}{unlessZero(w.Min, w.Min.String()), unlessZero(w.Max, w.Max.String())})
}

// UnmarshalJSON implements [json.Unmarshaler]. Fields that the text doesn't mention keep their
// values. Unknown keys are errors. On an error w is unchanged.
func (w *Window) UnmarshalJSON(text []byte) error { return unmarshal(text, w, (*reader).window) }

// MarshalJSON implements [json.Marshaler]. It leaves out zero fields. It fails on text that is not
// UTF-8, which JSON can't hold; a binary Message may be such text.
func (f Farewell) MarshalJSON() ([]byte, error) {
	for _, s := range []string{f.Reason, f.Message, f.Event, f.Data} {
		if !utf8.ValidString(s) {
			return nil, fmt.Errorf("policy: %.40q is not UTF-8 and can't be written as JSON; set it in the program", s)
		}
	}
	type fields Farewell // without this method
	return json.Marshal(fields(f))
}

// UnmarshalJSON implements [json.Unmarshaler]. Fields that the text doesn't mention keep their
// values. Unknown keys are errors. On an error f is unchanged.
func (f *Farewell) UnmarshalJSON(text []byte) error { return unmarshal(text, f, (*reader).farewell) }

// unmarshal reads text into to with one of the reader's methods. On an error to is unchanged.
func unmarshal[T any](text []byte, to *T, read func(r *reader, name string, to *T)) error {
	if string(bytes.TrimSpace(text)) == "null" { // by convention no change
		return nil
	}
	r, err := newReader(text, "")
	if err != nil {
		return err
	}
	value := *to
	read(r, "the value", &value)
	if len(r.faults) > 0 {
		return joinFaultsAt(r.faults)
	}
	*to = value
	return nil
}

func (r *reader) routes(name string, f *File) {
	if t := r.next(); t != json.Delim('{') {
		r.wrongType(t, name, "an object with a rule for each pattern")
		return
	}
	f.Routes, f.routesAt = map[string]Rule{}, map[string]position{}
	r.members(func(pattern string) {
		var rule Rule
		f.routesAt[pattern] = r.position()
		r.rule("the rule", &rule)
		f.Routes[pattern] = rule
	})
}

func (r *reader) budget(name string, to *Budget) {
	r.object(name, "a budget", []key{
		{"total", r.timeField(&to.Total)}, {"announce", r.timeField(&to.Announce)}, {"reserve", r.timeField(&to.Reserve)},
	})
}

func (r *reader) rule(name string, to *Rule) {
	t := r.next()
	if use, ok := t.(string); ok {
		r.namedRule(use, to)
		return
	}
	var base Rule
	r.objectFrom(t, name, "a rule", []key{
		{"use", func(name string) {
			if use, ok := read[string](r, name, "the name of a rule"); ok {
				r.namedRule(use, &base)
			}
		}},
		{"kind", wordField(r, &to.Kind, &kinds)},
		{"grace", r.ruleTimeField(&to.Grace)},
		{"spread", r.ruleTimeField(&to.Spread)},
		{"order", wordField(r, &to.Order, &orders)},
		{"priority", r.intField(&to.Priority)},
		{"timeout", r.ruleTimeField(&to.Timeout)},
		{"mercy", r.ruleTimeField(&to.Mercy)},
		{"maxage", r.ruleTimeField(&to.MaxAge)},
		{"reconnect", func(name string) { r.window(name, &to.Reconnect) }},
		{"farewell", func(name string) { r.farewell(name, &to.Farewell) }},
		{"format", wordField(r, &to.Format, &formats)},
		{"ending", wordField(r, &to.Ending, &endings)},
		{"admit", r.boolField(&to.Admit)},
	})
	*to = to.Over(base)
}

// namedRule stores the rule that has a name in to.
func (r *reader) namedRule(name string, to *Rule) {
	named, ok := namedRules[name]
	if !ok {
		r.fault("no rule has the name %.40q; use %s", name, strings.Join(slices.Sorted(maps.Keys(namedRules)), ", "))
		return
	}
	*to = named()
}

func (r *reader) window(name string, to *Window) {
	r.object(name, "a window", []key{{"min", r.timeField(&to.Min)}, {"max", r.timeField(&to.Max)}})
}

func (r *reader) farewell(name string, to *Farewell) {
	r.object(name, "a farewell", []key{
		{"code", r.intField(&to.Code)},
		{"reason", r.stringField(&to.Reason)},
		{"message", r.stringField(&to.Message)},
		{"binary", r.boolField(&to.Binary)},
		{"event", r.stringField(&to.Event)},
		{"data", r.stringField(&to.Data)},
		{"send", wordField(r, &to.Send, &sends)},
	})
}
