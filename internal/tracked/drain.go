package tracked

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// A Group is what responses that are counted together have in common. Its Pattern is that of an
// http.ServeMux, the name of a task, or empty: never a path, which clients choose.
type Group struct {
	Pattern string
	Rule    policy.Rule
	Kind    policy.Kind // Finite also where it is undecided, as the drain takes it
	Format  string
}

// DrainCounts are what is counted since a drain began. The zero DrainCounts have counted nothing.
type DrainCounts struct {
	Counts                               // of the responses that have ended, and of those refused
	Arrived                       uint64 // requests that came since the drain began, refused ones too
	Groups                        map[Group]Counts
	ToldPerSecond, EndedPerSecond []int // farewells that went out in each second, and responses that ended or were refused

	began time.Time
}

const (
	// maxGroups is how many groups are told apart. The others are one, all of whose fields are
	// zero: a program may make up a rule for each request.
	maxGroups = 500

	// maxSeconds is how many seconds are told apart. The last one has what came later as well.
	maxSeconds = 3600
)

// end counts the end of a response, or that it was refused.
func (d *DrainCounts) end(group Group, o Outcome) {
	d.Counts[o]++
	d.EndedPerSecond = d.countSecond(d.EndedPerSecond)
	if _, known := d.Groups[group]; !known {
		if d.Groups == nil {
			d.Groups = make(map[Group]Counts)
		}
		if len(d.Groups) >= maxGroups {
			group = Group{}
		}
	}
	counts := d.Groups[group]
	counts[o]++
	d.Groups[group] = counts
}

// countSecond adds one to the current second's count, and returns perSecond, grown as needed.
func (d *DrainCounts) countSecond(perSecond []int) []int {
	second := min(int(time.Since(d.began)/time.Second), maxSeconds-1)
	for len(perSecond) <= second {
		perSecond = append(perSecond, 0)
	}
	perSecond[second]++
	return perSecond
}

// copy returns a copy that shares nothing with d, the zero DrainCounts for nil.
func (d *DrainCounts) copy() DrainCounts {
	if d == nil {
		return DrainCounts{}
	}
	c := *d
	c.Groups = maps.Clone(d.Groups)
	c.ToldPerSecond, c.EndedPerSecond = slices.Clone(d.ToldPerSecond), slices.Clone(d.EndedPerSecond)
	return c
}

// countFarewell counts a farewell that goes out now.
func (g *Registry) countFarewell() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drain != nil {
		g.drain.ToldPerSecond = g.drain.countSecond(g.drain.ToldPerSecond)
	}
}

// Group returns the group that the response is counted in.
func (r *Response) Group() Group {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Group{r.patternLocked(), *r.rule, cmp.Or(r.kindLocked(), policy.Finite), r.format}
}

// RefusedGroup returns the group that a request is counted in that is refused before it begins a
// response.
func RefusedGroup(req *http.Request, rule *policy.Rule) Group {
	return Group{req.Pattern, *rule, cmp.Or(rule.Kind, policy.Finite), format.HTTP}
}

// patternLocked returns the pattern, empty where it is not known.
func (r *Response) patternLocked() string {
	if r.matched {
		return r.route
	}
	return ""
}
