package tracked

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/lastcall-go/lastcall/internal/format"
)

// maxRoute is how many bytes of method and path a route has at most, and how many of a pattern.
const maxRoute = 100

// Route names the response in reports: the method and the path that its client asked for, and the
// pattern that a [http.ServeMux] matched, if that is known and says anything else:
//
//	GET /rooms/7 (pattern GET /rooms/{id})
//
// Clients choose the path. What is not printable ASCII in it is percent-encoded, and it is
// shortened, so that it can't forge a line of a log or reach a terminal as an escape sequence.
func (r *Response) Route() string {
	r.mu.Lock()
	path, pattern, isTask := r.route, r.patternLocked(), r.format == format.Task
	r.mu.Unlock()
	if isTask {
		return pattern // its name is the program's own
	}
	pattern = Printable(pattern)
	if target := r.request.RequestURI; target != "" {
		path = pathOf(target)
	} else if pattern != "" { // no server has read the request
		return pattern
	}
	path = Printable(cmp.Or(r.request.Method, http.MethodGet) + " " + path)
	if _, rest, _ := strings.Cut(path, " "); pattern == "" || pattern == path || pattern == rest {
		return path
	}
	return path + " (pattern " + pattern + ")"
}

// Pattern returns the pattern that a [http.ServeMux] matched, empty where that is not known.
func (r *Response) Pattern() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.format == format.Task {
		return ""
	}
	return r.patternLocked()
}

// pathOf returns the path of a request's target: without the query, which may hold secrets, and
// without the scheme and host that a proxy's client sends (RFC 9112, section 3.2.2).
func pathOf(target string) string {
	target, _, _ = strings.Cut(target, "?")
	if scheme, rest, ok := strings.Cut(target, "://"); ok && !strings.Contains(scheme, "/") {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
		return "/"
	}
	return target
}

// Printable returns text with everything percent-encoded but printable ASCII, and shortened to
// maxRoute bytes. Only the first space is kept, the one between a method and a path: so no path can
// pass for one with a pattern behind it.
func Printable(text string) string {
	if isPrintable(text) { // as nearly all are
		return text
	}
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, min(len(text), maxRoute)+3)
	short, spaceSeen := 0, false // short: how many bytes of out leave room for the dots
	for i := 0; i < len(text); i++ {
		if len(out) <= maxRoute-len("...") {
			short = len(out)
		}
		switch c := text[i]; {
		case c == ' ' && !spaceSeen:
			spaceSeen = true
			out = append(out, c)
		case c <= ' ' || c > '~':
			out = append(out, '%', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
		if len(out) > maxRoute {
			return string(out[:short]) + "..."
		}
	}
	return string(out)
}

// isPrintable reports whether Printable leaves text as it is.
func isPrintable(text string) bool {
	spaces := 0
	for i := 0; i < len(text); i++ {
		if text[i] == ' ' {
			spaces++
		} else if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return spaces <= 1 && len(text) <= maxRoute
}
