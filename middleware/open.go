package middleware

import (
	"slices"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/stream"
)

// OpenOptions say which of the open responses [Drainer.Open] returns, and in which order. The zero
// OpenOptions are all of them, the oldest first.
type OpenOptions struct {
	// Match reports which of them are meant; nil: all. It is called once for each.
	Match func(*stream.Response) bool
	// Sort compares two, as for [slices.SortStableFunc]; nil: the oldest comes first.
	Sort func(a, b ResponseInfo) int
	// Offset is how many are left out in front, and Limit how many are returned at most; zero: all.
	// A negative one counts as zero.
	Offset, Limit int
}

// Open returns the responses and tasks that are open, and how many match in all, for pages of a
// list. It visits every open response, and without Sort describes only those that it returns. A
// response that begins or ends between two calls shifts the pages behind it.
//
//	page, total := d.Open(middleware.OpenOptions{Offset: 100, Limit: 50})
func (d *Drainer) Open(o OpenOptions) (page []ResponseInfo, total int) {
	open := d.registry.Open()
	if o.Match != nil {
		open = slices.DeleteFunc(open, func(r *tracked.Response) bool { return !o.Match((*stream.Response)(r)) })
	}
	slices.Reverse(open) // nearly sorted already
	slices.SortStableFunc(open, (*tracked.Response).CompareBegan)
	total = len(open)
	if o.Sort == nil {
		return d.infos(pageOf(open, o)), total
	}
	all := d.infos(open)
	slices.SortStableFunc(all, o.Sort)
	return pageOf(all, o), total
}

func pageOf[T any](all []T, o OpenOptions) []T {
	all = all[min(max(0, o.Offset), len(all)):]
	if o.Limit > 0 {
		all = all[:min(o.Limit, len(all))]
	}
	return all
}
