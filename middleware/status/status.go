package status

import (
	"bytes"
	"cmp"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/sse"
	"github.com/lastcall-go/lastcall/stream"
)

const (
	usualLimit   = 50                     // of open responses in an answer
	mostLimit    = 1000                   // of those that can be asked for
	fragmentGap  = 250 * time.Millisecond // between two fragments of a page
	writeTimeout = 5 * time.Second        // of one event, after which a client that doesn't read is given up
)

// Handler answers with how d stands, for people and programs:
//
//   - a page in HTML, by itself: what is open by route, kind and age; during a drain its timeline,
//     what and how much time is left, and who is stuck and where. It brings itself up to date,
//     without JavaScript every two seconds;
//   - JSON for "Accept: application/json": an object whose Report is the [middleware.Report], Open an
//     array of responses that are open ([middleware.ResponseInfo]), and Total how many there are;
//   - for "Accept: text/event-stream" the same JSON as the data of one event after the other, as
//     often as [middleware.Drainer.Watch] has a report, until the drain is over and final.
//
// The query of each may have sort (age, idle or route), offset and limit, which are about Open:
// 50 responses if it isn't set, and 1,000 at most. The page shows what clients have put into their
// paths, escaped. It loads nothing, and nothing may frame it.
//
// Whoever can ask sees paths and addresses of clients (see [middleware.Drainer].RedactRemote).
func Handler(d *middleware.Drainer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "status: use GET", http.StatusMethodNotAllowed)
			return
		}
		options, err := optionsOf(r)
		if err != nil {
			http.Error(w, "status: "+err.Error(), http.StatusBadRequest)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Add("Vary", "Accept")
		accept := r.Header.Get("Accept")
		switch {
		case sse.Accepts(r):
			serveEvents(w, r, d, options)
		case strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html"):
			h.Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(takeSnapshot(d, d.Report(), options))
		default:
			var text bytes.Buffer
			s := takeSnapshot(d, d.Report(), options)
			s.Nonce = rand.Text()
			if err := page.Execute(&text, s); err != nil {
				http.Error(w, "status: "+err.Error(), http.StatusInternalServerError)
				return
			}
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "+
				"form-action 'none'; style-src 'nonce-"+s.Nonce+"'; script-src 'nonce-"+s.Nonce+"'")
			h.Set("Referrer-Policy", "no-referrer")
			_, _ = w.Write(text.Bytes())
		}
	})
}

// serveEvents sends the status as it changes. A page asks for the part of it that changes.
func serveEvents(w http.ResponseWriter, r *http.Request, d *middleware.Drainer, options middleware.OpenOptions) {
	fragments := r.URL.Query().Has("page")
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	_, _ = fmt.Fprint(w, "retry: 1000\n\n")
	var sent time.Time
	var phase middleware.Phase
	for report := range d.Watch(r.Context()) {
		if fragments && report.Phase == phase && time.Since(sent) < fragmentGap {
			continue
		}
		sent, phase = time.Now(), report.Phase
		s := takeSnapshot(d, report, options)
		var data any = s
		if fragments {
			var text strings.Builder
			if err := page.ExecuteTemplate(&text, "status", s); err != nil {
				return
			}
			data = text.String()
		}
		text, err := json.Marshal(data) // which is one line
		if err != nil {
			return
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every writer has one
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil || control.Flush() != nil {
			return
		}
	}
}

// optionsOf returns which open responses a request asks for.
func optionsOf(r *http.Request) (o middleware.OpenOptions, err error) {
	q := r.URL.Query()
	number := func(name string, unset, most int) int {
		text := q.Get(name)
		if text == "" {
			return unset
		}
		n, bad := strconv.Atoi(text)
		if bad != nil || n < 0 || n > most {
			err = fmt.Errorf("%s must be a number from 0 to %d", name, most)
		}
		return n
	}
	o.Offset, o.Limit = number("offset", 0, 1<<30), max(1, number("limit", usualLimit, mostLimit))
	switch q.Get("sort") {
	case "", "age":
	case "idle":
		o.Sort = func(a, b middleware.ResponseInfo) int { return cmp.Compare(b.Idle, a.Idle) }
	case "route":
		o.Sort = func(a, b middleware.ResponseInfo) int { return cmp.Compare(a.Route, b.Route) }
	default:
		err = fmt.Errorf("sort must be age, idle or route")
	}
	return o, err
}

// A snapshot is how a Drainer stands at one moment.
type snapshot struct {
	Report middleware.Report
	Total  int
	Open   []middleware.ResponseInfo

	Nonce string `json:"-"` // of the page's style and script

	ages [len(ageLimits) + 1]int // how many open responses are younger than each of ageLimits, and the rest
}

// ageLimits are the ages by which the page counts.
var ageLimits = [...]time.Duration{time.Second, 10 * time.Second, time.Minute, time.Hour, 24 * time.Hour}

func takeSnapshot(d *middleware.Drainer, report middleware.Report, options middleware.OpenOptions) snapshot {
	s := snapshot{Report: report}
	options.Match = func(r *stream.Response) bool {
		i, age := 0, r.Age()
		for i < len(ageLimits) && age >= ageLimits[i] {
			i++
		}
		s.ages[i]++
		return true
	}
	s.Open, s.Total = d.Open(options)
	return s
}

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"short": short, "split": strings.Split, "outcomes": outcomes}).Parse(pageText))

// short returns d as a person reads it.
func short(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return d.Round(100 * time.Millisecond).String()
}
