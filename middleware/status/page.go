package status

import (
	"fmt"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
)

// These are what page.html asks a snapshot for.

// Draining reports whether there is or was a drain.
func (s snapshot) Draining() bool { return !s.Report.Began.IsZero() }

// Ended returns how many responses have ended since the drain began.
func (s snapshot) Ended() uint64 { return s.Report.All() - s.Report.Refused }

// Told returns how many farewells went out.
func (s snapshot) Told() (told int) {
	for _, n := range s.Report.ToldPerSecond {
		told += n
	}
	return told
}

// Known returns how many responses the drain found, and how many came later, together.
func (s snapshot) Known() uint64 { return uint64(s.Report.Found.All()) + s.Report.Late }

// A count is a number with its name.
type count struct {
	Name string
	N    int
}

// Kinds returns what is open by kind.
func (s snapshot) Kinds() []count {
	o := s.Report.Open
	kinds := nonzero(count{"finite", o.Finite}, count{"event streams", o.SSE}, count{"WebSockets", o.WebSocket},
		count{"other streams", o.Other}, count{"tasks", o.Tasks})
	for i := range kinds {
		if kinds[i].N == 1 {
			kinds[i].Name = strings.TrimSuffix(kinds[i].Name, "s")
		}
	}
	return kinds
}

// Ages returns what is open by age.
func (s snapshot) Ages() []count {
	all := make([]count, len(s.ages))
	for i, n := range s.ages {
		if i < len(ageLimits) {
			all[i] = count{"under " + ageName(ageLimits[i]), n}
		} else {
			all[i] = count{"over " + ageName(ageLimits[i-1]), n}
		}
	}
	return nonzero(all...)
}

func ageName(d time.Duration) string {
	switch {
	case d >= 24*time.Hour:
		return "a day"
	case d >= time.Hour:
		return "an hour"
	case d >= time.Minute:
		return "a minute"
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// outcomes returns how responses ended.
func outcomes(o middleware.Outcomes) []count {
	return nonzero(count{"completed", int(o.Completed)}, count{"told", int(o.Told)}, count{"unanswered", int(o.Unanswered)},
		count{"canceled", int(o.Canceled)}, count{"cut", int(o.Cut)}, count{"refused", int(o.Refused)})
}

func nonzero(all ...count) (some []count) {
	for _, c := range all {
		if c.N > 0 {
			some = append(some, c)
		}
	}
	return some
}

// mostRows is how many groups the page has at most.
const mostRows = 100

// Rows returns the groups that the page has, the largest first.
func (s snapshot) Rows() []middleware.Group {
	return s.Report.Groups[:min(mostRows, len(s.Report.Groups))]
}

// MoreRows returns how many groups the page leaves out.
func (s snapshot) MoreRows() int { return max(0, len(s.Report.Groups)-mostRows) }

// MostOpen returns the largest number of open responses in a group, one at least.
func (s snapshot) MostOpen() int {
	most := 1
	for _, g := range s.Report.Groups {
		most = max(most, g.Open)
	}
	return most
}

// Line returns the points of a line in a field of 600 by 100: how many there had been by each
// second since the drain began. The field's height is Known.
func (s snapshot) Line(perSecond []int) string {
	const mostPoints = 300
	seconds := max(1, len(s.Report.ToldPerSecond), len(s.Report.EndedPerSecond), int(s.Report.Took/time.Second)+1)
	points, sum, step := []string{"0,100"}, 0, (seconds+mostPoints-1)/mostPoints
	for i := range seconds {
		if i < len(perSecond) {
			sum += perSecond[i]
		}
		if (i+1)%step == 0 || i+1 == seconds {
			x := 600 * float64(i+1) / float64(seconds)
			y := 100 - 100*min(1, float64(sum)/float64(max(1, s.Known())))
			points = append(points, fmt.Sprintf("%.0f,%.1f", x, y))
		}
	}
	return strings.Join(points, " ")
}

// Stuck returns the responses that hold up the drain, or that it had to give up.
func (s snapshot) Stuck() []middleware.ResponseInfo {
	if s.Report.Phase == middleware.Done {
		return s.Report.Aborted[:min(len(s.Report.Aborted), 10)]
	}
	return s.Report.Waiting
}
