package policy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// literals are the rules of the paths that the table's patterns spell out: what ServeMux answers for them, asked once. To
// remember takes less than half of the time, and most streams have such a path.
type literals struct {
	paths []map[string][]literal // by their length, so that one of another length costs next to nothing
	hosts map[string]bool        // those that patterns name; for all others, ServeMux answers alike
}

type literal struct {
	method string
	rule   *Rule
}

// usual are the methods that are asked for; others are left to ServeMux.
var usual = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// collect asks m's mux, which gets no more patterns.
func (l *literals) collect(m *Mux) {
	l.hosts = map[string]bool{}
	for _, at := range m.routes {
		path := at.pattern // [METHOD ][HOST]/PATH
		if method := strings.IndexAny(path, " \t"); method >= 0 {
			path = strings.TrimLeft(path[method:], " \t")
		}
		if host := strings.IndexByte(path, '/'); host > 0 {
			l.hosts[path[:host]] = true
			path = path[host:]
		}
		if strings.Contains(path, "{") {
			continue // it isn't spelled out
		}
		var known []literal
		for _, method := range usual {
			h, _ := m.mux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}})
			if found, ok := h.(*route); ok {
				known = append(known, literal{method, &found.whole})
			}
		}
		l.put(path, known)
	}
}

func (l *literals) put(path string, known []literal) {
	for len(l.paths) <= len(path) {
		l.paths = append(l.paths, nil)
	}
	if l.paths[len(path)] == nil {
		l.paths[len(path)] = map[string][]literal{}
	}
	l.paths[len(path)][path] = known
}

// find gives the rule of req, nil where ServeMux has to be asked.
func (l *literals) find(req *http.Request) *Rule {
	path := req.URL.Path
	if len(path) >= len(l.paths) || l.paths[len(path)] == nil {
		return nil
	}
	known := l.paths[len(path)][path]
	i := slices.IndexFunc(known, func(one literal) bool { return one.method == req.Method })
	if i < 0 || req.URL.RawPath != "" || !l.anywhere(req.Host) {
		return nil
	}
	return known[i].rule
}

// anywhere tells that no pattern names host. One with a port isn't looked at: ServeMux cuts it off, in its own way.
func (l *literals) anywhere(host string) bool {
	return len(l.hosts) == 0 || !strings.Contains(host, ":") && !l.hosts[host]
}
