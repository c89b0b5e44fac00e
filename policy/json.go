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

// byName are the named rules as a file may use them.
var byName = map[string]func() Rule{
	"let-finish": LetFinish, "tell-come-back": TellComeBack, "tell-stay-away": TellStayAway,
	"cut-at-once": CutAtOnce, "leave-alone": LeaveAlone,
}

// A name is the name of a named rule, read into that.
type name struct{ rule *Rule }

func (n name) UnmarshalText(text []byte) error {
	named, ok := byName[string(text)]
	if !ok {
		return fmt.Errorf("policy: no rule has the name %.40q; use %s", text, strings.Join(slices.Sorted(maps.Keys(byName)), ", "))
	}
	*n.rule = named()
	return nil
}

// MarshalJSON implements [json.Marshaler]. What is zero is left out; times are strings such as "1.5s".
func (r Rule) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Kind      Kind     `json:"kind,omitzero"`
		Grace     span     `json:"grace,omitzero"`
		Spread    span     `json:"spread,omitzero"`
		Order     Order    `json:"order,omitzero"`
		Priority  int      `json:"priority,omitzero"`
		Timeout   span     `json:"timeout,omitzero"`
		Mercy     span     `json:"mercy,omitzero"`
		MaxAge    span     `json:"maxage,omitzero"`
		Reconnect Window   `json:"reconnect,omitzero"`
		Farewell  Farewell `json:"farewell,omitzero"`
	}{r.Kind, span(r.Grace), span(r.Spread), r.Order, r.Priority, span(r.Timeout), span(r.Mercy),
		span(r.MaxAge), r.Reconnect, r.Farewell})
}

// UnmarshalJSON implements [json.Unmarshaler], for an object or the name of a named rule, as a [File] has it. It refuses
// what it doesn't know, and leaves the validity of what it does to [Rule.Validate]. On an error r is unchanged.
func (r *Rule) UnmarshalJSON(text []byte) error { return unmarshal(text, r, (*reader).rule) }

// MarshalJSON implements [json.Marshaler]. What is zero is left out; times are strings such as "25s".
func (b Budget) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Total    length `json:"total,omitzero"`
		Announce length `json:"announce,omitzero"`
		Reserve  length `json:"reserve,omitzero"`
	}{length(b.Total), length(b.Announce), length(b.Reserve)})
}

// UnmarshalJSON implements [json.Unmarshaler]. It refuses what it doesn't know. On an error b is unchanged.
func (b *Budget) UnmarshalJSON(text []byte) error { return unmarshal(text, b, (*reader).budget) }

// MarshalJSON implements [json.Marshaler]. What is zero is left out; times are strings such as "5s".
func (w Window) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Min length `json:"min,omitzero"`
		Max length `json:"max,omitzero"`
	}{length(w.Min), length(w.Max)})
}

// UnmarshalJSON implements [json.Unmarshaler]. It refuses what it doesn't know. On an error w is unchanged.
func (w *Window) UnmarshalJSON(text []byte) error { return unmarshal(text, w, (*reader).window) }

// MarshalJSON implements [json.Marshaler]. What is zero is left out. It fails on text that is not UTF-8, such as a binary
// Message may be, which JSON can't hold.
func (f Farewell) MarshalJSON() ([]byte, error) {
	for _, s := range []string{f.Reason, f.Message, f.Event, f.Data} {
		if !utf8.ValidString(s) {
			return nil, fmt.Errorf("policy: %.40q is not UTF-8 and can't be written as JSON; set it in the program", s)
		}
	}
	return json.Marshal(struct {
		Code    int    `json:"code,omitzero"`
		Reason  string `json:"reason,omitzero"`
		Message string `json:"message,omitzero"`
		Binary  bool   `json:"binary,omitzero"`
		Event   string `json:"event,omitzero"`
		Data    string `json:"data,omitzero"`
	}(f))
}

// UnmarshalJSON implements [json.Unmarshaler]. It refuses what it doesn't know. On an error f is unchanged.
func (f *Farewell) UnmarshalJSON(text []byte) error { return unmarshal(text, f, (*reader).farewell) }

func unmarshal[T any](text []byte, to *T, read func(r *reader, t json.Token, key string, to *T)) error {
	if string(bytes.TrimSpace(text)) == "null" { // which by convention changes nothing
		return nil
	}
	r, faults := newReader(text, "")
	if r == nil {
		return joinedAt(faults)
	}
	value := *to
	read(r, r.next(), "the value", &value)
	if len(r.faults) > 0 {
		return joinedAt(r.faults)
	}
	*to = value
	return nil
}

func (r *reader) top(f *File) {
	r.object(r.next(), "the file", "the file", []field{
		{"budget", func(key string) {
			before := len(r.faults)
			f.budgetAt = r.here()
			r.budget(r.next(), key, &f.Budget)
			r.halfBudget = len(r.faults) > before
		}},
		{"default", func(key string) { f.defaultAt = r.here(); r.rule(r.next(), key, &f.Default) }},
		{"routes", func(key string) { r.routes(r.next(), key, f) }},
	})
}

func (r *reader) routes(t json.Token, key string, f *File) {
	if t != json.Delim('{') {
		r.wrong(t, key, "an object with a rule for each pattern")
		return
	}
	f.Routes, f.routesAt = map[string]Rule{}, map[string]place{}
	r.members(func(pattern string) {
		var rule Rule
		f.routesAt[pattern] = r.here()
		r.rule(r.next(), "the rule", &rule)
		f.Routes[pattern] = rule
	})
}

func (r *reader) budget(t json.Token, key string, to *Budget) {
	r.object(t, key, "a budget", []field{
		{"total", r.length(&to.Total)}, {"announce", r.length(&to.Announce)}, {"reserve", r.length(&to.Reserve)},
	})
}

func (r *reader) rule(t json.Token, key string, to *Rule) {
	if word, ok := t.(string); ok {
		if err := (name{to}).UnmarshalText([]byte(word)); err != nil {
			r.fault("%s", strings.TrimPrefix(err.Error(), "policy: "))
		}
		return
	}
	var base Rule
	r.object(t, key, "a rule", []field{
		{"use", r.words(name{&base}, "the name of a rule")},
		{"kind", r.words(&to.Kind, `"auto", "finite" or "infinite"`)},
		{"grace", r.span(&to.Grace)},
		{"spread", r.span(&to.Spread)},
		{"order", r.words(&to.Order, `"random", "oldest-first", "youngest-first" or "idle-first"`)},
		{"priority", r.number(&to.Priority)},
		{"timeout", r.span(&to.Timeout)},
		{"mercy", r.span(&to.Mercy)},
		{"maxage", r.span(&to.MaxAge)},
		{"reconnect", func(key string) { r.window(r.next(), key, &to.Reconnect) }},
		{"farewell", func(key string) { r.farewell(r.next(), key, &to.Farewell) }},
	})
	*to = to.Over(base)
}

func (r *reader) window(t json.Token, key string, to *Window) {
	r.object(t, key, "a window", []field{{"min", r.length(&to.Min)}, {"max", r.length(&to.Max)}})
}

func (r *reader) farewell(t json.Token, key string, to *Farewell) {
	r.object(t, key, "a farewell", []field{
		{"code", r.number(&to.Code)},
		{"reason", r.text(&to.Reason)},
		{"message", r.text(&to.Message)},
		{"binary", r.flag(&to.Binary)},
		{"event", r.text(&to.Event)},
		{"data", r.text(&to.Data)},
	})
}
