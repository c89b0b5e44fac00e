package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// foreignProblem describes that a pattern has wildcards of another router than [http.ServeMux],
// which takes most of them for literal text that no request has, and says what to write. It returns
// the empty string if there is none.
func foreignProblem(pattern string) string {
	begin := strings.IndexByte(pattern, '/')
	if begin < 0 {
		return "" // ServeMux says what is missing
	}
	meant, literal := pattern[:begin], pattern[:begin] // with ServeMux's wildcards, and with none
	found := false
	canBeLiteral := true // ServeMux takes none of them for a wildcard
	used := map[string]bool{}
	for rest := pattern[begin:]; rest != ""; {
		end := 1 + segmentLength(rest[1:])
		segment := rest[1:end]
		rest = rest[end:]
		w, ok := foreignWildcard(segment)
		if !ok {
			meant += "/" + segment
			literal += "/" + segment
			continue
		}
		found = true
		canBeLiteral = canBeLiteral && segment[0] != '{'
		meant += "/" + w.text(rest == "", used)
		literal += fmt.Sprintf("/%%%02X%s", segment[0], segment[1:])
	}
	if !found {
		return ""
	}
	problem := fmt.Sprintf("route %q has another router's wildcards; write %q", pattern, meant)
	if canBeLiteral {
		problem += fmt.Sprintf(", or %q for that very path", literal)
	}
	return problem
}

// segmentLength returns the length of the segment that s begins with. A slash between the brackets
// of a wildcard, as in {path:[a-z/]+}, doesn't end it.
func segmentLength(s string) int {
	first, _, _ := strings.Cut(s, "/")
	if first == "" || !strings.Contains("{<:", first[:1]) {
		return len(first)
	}
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{', '<', '(', '[':
			depth++
		case '}', '>', ')', ']':
			depth--
		case '/':
			if depth == 0 {
				return i
			}
		}
	}
	if depth != 0 {
		return len(first) // the brackets don't match
	}
	return len(s)
}

// A wildcard of [http.ServeMux], which is a whole segment.
var ownWildcard = regexp.MustCompile(`^\{([\pL_][\pL\p{Nd}_]*(\.\.\.)?|\$)\}$`)

// Those of other routers, also whole segments. Each expression has four groups, of which some are
// always empty: stars, a type, the name, and what is behind it, such as an expression.
var foreignWildcards = []*regexp.Regexp{
	// :id, :id?, :id([0-9]+), :name.json
	regexp.MustCompile(`^:()()([\pL_][\pL\p{Nd}_]*)(.*)$`),
	// *, **, *path
	regexp.MustCompile(`^(\*\*?)()([\pL_][\pL\p{Nd}_]*|)()$`),
	// {id:[0-9]+}, {path:.*}, {*path}, {id?}, {id}.json
	regexp.MustCompile(`^\{(\*?\*?)()([\pL_][\pL\p{Nd}_]*)(.*)\}[^}]*$`),
	// <id>, <id:[0-9]+>, <int:id>, <path:rest>, <rest..>
	regexp.MustCompile(`^<()(?:(any|float|int|path|slug|str|string|uuid):)?([\pL_][\pL\p{Nd}_]*)(:.*|\.\.|)>$`),
}

// A wildcard is what a segment of a pattern stands for.
type wildcard struct {
	name  string // may be empty
	multi bool   // it may stand for several segments
}

// foreignWildcard returns the wildcard that a segment is to another router and not to ServeMux.
func foreignWildcard(segment string) (wildcard, bool) {
	if ownWildcard.MatchString(segment) {
		return wildcard{}, false
	}
	for _, e := range foreignWildcards {
		m := e.FindStringSubmatch(segment)
		if m == nil {
			continue
		}
		stars, typ, name, behind := m[1], m[2], m[3], m[4]
		multi := stars != "" || typ == "path" ||
			slices.Contains([]string{":path", ":.*", ":.+", ".."}, behind) ||
			strings.Contains(behind, "/") && !strings.Contains(behind, "[^/]")
		return wildcard{name, multi}, true
	}
	return wildcard{}, false
}

// text returns w as ServeMux has it, with a name that is not in used. Only the last wildcard of a
// pattern can stand for several segments there.
func (w wildcard) text(last bool, used map[string]bool) string {
	name, dots := w.name, ""
	if w.multi && last {
		dots = "..."
	}
	switch {
	case name == "" && last:
		name = "rest"
	case name == "":
		name = "any"
	}
	for used[name] {
		name += "2"
	}
	used[name] = true
	return "{" + name + dots + "}"
}
