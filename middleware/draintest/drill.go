package draintest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/internal/request"
	"github.com/lastcall-go/lastcall/middleware"
)

// Drill checks that the handlers of a server end well, and fails the test with a line for each
// thing that doesn't. [Check] returns the same as values.
//
//	func TestDrain(t *testing.T) {
//		draintest.Drill(t, func(t testing.TB, d *middleware.Drainer) http.Handler {
//			d.Policy = rules // and Budget, as in main
//			return routes()
//		}, "GET /events", "/ws", "POST /chat\nContent-Type: application/json\n\n{\"prompt\":\"hi\"}")
//	}
//
// start fills d's fields and returns the server's handler. Drill puts [middleware.Graceful] with d
// around it. The handler may have that already, but no other Drainer's.
//
// start is called for each server, a dozen or two for each route. Each has a testing/synctest
// bubble of its own, in which time passes at once when all goroutines wait: no clock has to be
// replaced, and a drain of 25 s takes milliseconds. What start begins has to end by t.Cleanup or
// with t.Context: these come after the drain of that one server.
//
// A route is a request in HTTP's own form: a method (GET, if it is left out) and a path, header
// fields on lines of their own, and after an empty line the body. What it answers tells which
// client is opened: a WebSocket's, an event stream's, or any other's. A 404 is an answer, too; the
// test's log has what each route was taken for. To a WebSocket the lines of the body are sent as
// messages. An event stream that never ends has two clients, an EventSource and one that isn't,
// unless the route has an Accept. A second request, after a line "---", is one that the client has
// to send before the first can be answered.
//
// A call of gRPC, gRPC-Web or Connect is told by its content type, and Connect's unary one by its
// Connect-Protocol-Version. The lines of its body are its messages, without a prefix: JSON where
// the content type says so, and hexadecimal digits otherwise; no body is one empty message. The
// client sends them, ends its side, and reads. gRPC comes over HTTP/1.1, which has trailers, too;
// its handler gets a request of HTTP/2.
//
// First each route is opened with no drain, to see what it answers, for up to five minutes of the
// bubble's time. Then each has its drains over HTTP/1.1: before its first byte, between two writes,
// in the middle of one, while its handler waits, while its peer reads nothing or slowly, with its
// request half sent, as its peer vanishes, as a new client comes or waits to be accepted, and with
// two clients where the drain is begun twice at once. What is checked is in docs/drill-rules.md,
// under the numbers that findings have.
//
// In a bubble a handler must not wait for anything outside, such as a real network, a process or a
// goroutine of another test: time would not pass. A handler that needs these is for [NewServer].
//
// Drill must not be called in a bubble, nor in parallel with a test that shares state with the
// handlers. Goroutines that a faulty handler never ends are still there when it returns.
func Drill(t *testing.T, start func(t testing.TB, d *middleware.Drainer) http.Handler, routes ...string) {
	t.Helper()
	for _, f := range Check(t, start, routes...) {
		t.Errorf("draintest: %s", f)
	}
}

// Check is [Drill] that returns what it finds, in the order of the routes: nothing where all is
// well. What went wrong with a route in the same way at several moments is one finding. It fails
// the test only where a route can't be parsed.
func Check(t *testing.T, start func(t testing.TB, d *middleware.Drainer) http.Handler, routes ...string) []Finding {
	t.Helper()
	if len(routes) == 0 {
		t.Fatal("draintest: there is no route to drill; give one, such as \"GET /events\"")
	}
	var all []Finding
	for _, text := range routes {
		text, second, _ := strings.Cut(text, "\n---\n")
		d := &drill{t: t, start: start}
		d.route, d.call = d.parse(text)
		if second != "" {
			d.second, _ = d.parse(second)
		}
		d.run()
		all = append(all, d.findings...)
	}
	return all
}

// parse reads a route, and fails the test where it can't.
func (d *drill) parse(text string) (request.Request, request.Protocol) {
	d.t.Helper()
	r, err := request.Parse(text)
	var p request.Protocol
	if err == nil {
		r, p, err = r.Call()
	}
	if err != nil {
		d.t.Fatalf("draintest: %v", err)
	}
	return r, p
}

// A drill is that of one route.
type drill struct {
	t        *testing.T
	start    func(t testing.TB, d *middleware.Drainer) http.Handler
	route    request.Request
	call     request.Protocol
	second   request.Request // without a path: none
	normal   behavior
	findings []Finding
	stuck    bool // a trial has left goroutines that never end
}

// A behavior is what a route does without a drain.
type behavior struct {
	webSocket bool
	infinite  bool // it is taken for a stream
	ended     bool // it ends by itself
	same      bool // its body is the same each time
	asMany    bool // so is the number of its lines, or of a call's messages
	writes    int
	allowed   time.Duration // how long a drain lets it go on, if it is an answer
	client    *client       // one that has seen all of it
}

// shortLook is how long a stream is looked at, and longLook anything else.
const (
	shortLook = 30 * time.Second
	longLook  = 5 * time.Minute
)

func (d *drill) run() {
	d.t.Helper()
	webSocket := false
	d.trial(afterItsClient, d.route, func(tr *trial) { webSocket = tr.isWebSocket(d.route) })
	first := d.look(webSocket)
	d.normal = d.look(webSocket)
	if first.client == nil || d.normal.client == nil {
		return // start has not returned
	}
	n, c := &d.normal, d.normal.client
	n.same, n.asMany = first.client.body == c.body, first.client.parts() == c.parts()
	switch {
	case !n.webSocket && c.status == 0:
		d.report("0.1", "", "answers nothing: %v. The drill can't tell what it is", c.err)
		return
	case d.call != request.NoCall && n.ended && c.callEnd().Status != request.OK:
		d.report("0.1", "", "is a call of %s that fails without a drain, too (%s). Is it the right path, and are these its messages?", d.call, c.ending())
		return
	case n.infinite && !n.webSocket && n.ended && c.err == nil && c.body != "" && c.took < n.allowed:
		d.report("3.5", "", "ends by itself, %s after it began, but is taken for a stream, and would be told goodbye in the middle. "+
			"Call stream.Tag(r.Context(), policy.Finite) before the first byte, or give the route policy.LetFinish()", seconds(c.took))
	}
	d.t.Logf("draintest: %s is drilled as %s", d.route.Name(), d.seenAs())
	for _, r := range d.requests() {
		d.trials(r)
	}
}

// seenAs returns what the route was taken for, by which a misspelt one can be told.
func (d *drill) seenAs() string {
	switch n := d.normal; {
	case n.webSocket:
		return "a WebSocket"
	case d.call != request.NoCall:
		return fmt.Sprintf("a call of %s", d.call)
	case n.infinite:
		return "a stream"
	default:
		return fmt.Sprintf("an answer with status %d", n.client.status)
	}
}

// requests returns the route's request as each of its clients sends it.
func (d *drill) requests() []request.Request {
	if d.normal.webSocket || !d.normal.infinite || d.route.Header.Get("Accept") != "" || !d.normal.client.gotEvents() {
		return []request.Request{d.route}
	}
	return []request.Request{d.route.ForEvents(true), d.route.ForEvents(false)}
}

// look opens the route with no drain, until it has ended or has been looked at for long enough, and
// drains the server when nothing is open any more.
func (d *drill) look(webSocket bool) (b behavior) {
	b.webSocket = webSocket
	d.trial(afterItsClient, d.route, func(tr *trial) {
		c := tr.open(d.route, webSocket)
		b.client = c
		for looked := time.Duration(0); looked < longLook && !await(c.done, time.Second); looked += time.Second {
			if r := tr.response(); r != nil && isInfinite(r) && looked >= shortLook {
				break
			}
		}
		c.end(0)
		b.ended = !c.closed
		if r := tr.response(); r != nil {
			b.infinite = isInfinite(r)
			budget := tr.d.Budget.WithDefaults()
			b.allowed = budget.Total - budget.Announce - budget.Reserve
			if grace := r.Rule().Grace; grace > 0 {
				b.allowed = min(b.allowed, grace)
			}
		}
		b.writes, _, _ = tr.rec.get()
		time.Sleep(time.Second) // the handler returns
	})
	return b
}

// figure matches what may differ between the texts of one finding at two moments.
var figure = regexp.MustCompile(`\b\d+(\.\d+)?( of \d+ (bytes|messages)|ms| s|s)\b`)

// report adds a finding, or a moment to the same one. Without a moment it is of all.
func (d *drill) report(rule, moment, format string, args ...any) {
	f := Finding{Rule: rule, Route: d.route.Name(), Text: fmt.Sprintf(format, args...)}
	i := slices.IndexFunc(d.findings, func(other Finding) bool {
		return other.Rule == f.Rule && figure.ReplaceAllString(other.Text, "") == figure.ReplaceAllString(f.Text, "")
	})
	if i < 0 {
		d.findings = append(d.findings, f)
		i = len(d.findings) - 1
	}
	if moments := &d.findings[i].Moments; moment != "" && !slices.Contains(*moments, moment) {
		*moments = append(*moments, moment)
	}
}

// A Finding is one thing that goes wrong with a route.
type Finding struct {
	Rule    string   // its number, which stays the same from one release to the next: "3.4"
	Route   string   // its first line: "GET /events"
	Moments []string // of the drains in which it went wrong: "drained between two writes"
	Text    string   // what went wrong and how to mend it, for people
}

// String returns the finding in one line.
func (f Finding) String() string {
	moments := ""
	if len(f.Moments) > 0 {
		moments = ", " + f.Moments[0]
		if n := len(f.Moments) - 1; n > 0 {
			moments += fmt.Sprintf(" (and at %d more moments)", n)
		}
		moments += ","
	}
	return fmt.Sprintf("%s: %s%s %s (docs/drill-rules.md#%s)", f.Rule, f.Route, moments, f.Text, strings.ReplaceAll(f.Rule, ".", ""))
}
