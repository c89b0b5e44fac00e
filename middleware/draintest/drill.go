package draintest

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/internal/request"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/sse"
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
// start returns the server's handler. It is called for each server, a dozen or two for each route,
// each in a testing/synctest bubble of its own, in which time passes at once when nothing else is
// left to do: no clock has to be replaced, and a drain of 25 s takes milliseconds. What start makes
// belongs to the bubble. It must end what it has started by t.Cleanup or with t.Context, which are
// those of the one server, and end behind its drain. start fills d's fields; Graceful with d is put
// around the handler, which may have it already, but no other Drainer.
//
// A route is a request in HTTP's own form: a method (GET, if it is left out) and a path, header
// fields on lines of their own, and behind an empty line the body. What it answers tells which
// client is opened: a WebSocket's, an event stream's, or any other's. To a WebSocket the lines of
// the body are sent as messages. An event stream that never ends has two clients, an EventSource
// and one that isn't, unless the route's header fields say which it is by their Accept. A second
// request behind a line "---" is one that the client sends while the first is open, since it needs
// it.
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
// goroutine of another test: its time would never pass. A handler that needs these is for
// [NewServer].
//
// It must not be called in a bubble, nor together with others in tests that run in parallel where
// they share state. Goroutines that a faulty handler never ends stay.
func Drill(t *testing.T, start func(t testing.TB, d *middleware.Drainer) http.Handler, routes ...string) {
	t.Helper()
	for _, f := range Check(t, start, routes...) {
		t.Errorf("draintest: %s", f)
	}
}

// Check is [Drill] that returns what it finds, in the order of the routes: none where all is well.
// Each route has one finding for what went wrong in the same way at several moments. It fails the
// test only where a route can't be read.
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
	start    startFunc
	route    request.Request
	call     request.Protocol
	second   request.Request // without a path: none
	shape    shape
	findings []Finding
	dead     bool // a bubble has ended with goroutines that never end
}

// A shape is what a route answers without a drain.
type shape struct {
	socket   bool
	infinite bool // taken for a stream
	ended    bool // by itself
	same     bool // it is the same each time
	writes   int
	work     time.Duration // what the budget leaves an answer of this rule
	visitor  *visitor
}

// shortLook is how long a stream is looked at, and longLook anything else.
const (
	shortLook = 30 * time.Second
	longLook  = 5 * time.Minute
)

func (d *drill) run() {
	d.scene("drained behind its client", d.route, func(sc *scene) { d.shape.socket = sc.isSocket(d.route) })
	first := d.look()
	second := d.look()
	d.shape = second
	d.shape.same = first.visitor.body == second.visitor.body
	if !d.shape.socket && d.shape.visitor.status == 0 {
		d.report("0.1", "", "answers nothing: "+d.shape.visitor.err.Error()+". The drill can't tell what it is")
		return
	}
	if end := d.shape.visitor.callEnd(); d.call != request.NoCall && d.shape.ended && end.Status != request.OK {
		d.report("0.1", "", fmt.Sprintf("is a call of %s that fails without a drain, too (%s). Is it the right path, and are these its messages?", d.call, d.shape.visitor.ending()))
		return
	}
	d.judgeShape()
	for _, r := range d.guises() {
		d.scenes(r)
	}
}

// guises returns the route with the header fields of the clients that it has.
func (d *drill) guises() []request.Request {
	h := d.shape.visitor.header
	if d.shape.socket || !d.shape.infinite || d.route.Header.Get("Accept") != "" || !strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") {
		return []request.Request{d.route}
	}
	eventSource, other := d.route, d.route
	eventSource.Header, other.Header = d.route.Header.Clone(), d.route.Header.Clone()
	eventSource.Header.Set("Accept", "text/event-stream")
	eventSource.Header.Set("Cache-Control", "no-cache")
	eventSource.Header.Set("User-Agent", "EventSource")
	other.Header.Set("Accept", "text/event-stream")
	return []request.Request{eventSource, other}
}

// look opens the route with no drain, until it has ended or has been looked at for long enough, and
// drains the server when nothing is open any more.
func (d *drill) look() (s shape) {
	s.socket = d.shape.socket
	d.scene("drained behind its client", d.route, func(sc *scene) {
		v := sc.visit(d.route, s.socket)
		s.visitor = v
		for looked := time.Duration(0); looked < longLook && !v.over(); looked += time.Second {
			time.Sleep(time.Second)
			if all := sc.calls.all(); len(all) > 0 {
				s.infinite = isInfinite(all[0].response)
			}
			if s.infinite && looked >= shortLook {
				break
			}
		}
		s.ended = v.over()
		v.end(0)
		if all := sc.calls.all(); len(all) > 0 {
			s.infinite = isInfinite(all[0].response)
			b := sc.d.Budget.WithDefaults()
			s.work = b.Total - b.Announce - b.Reserve
			if grace := all[0].response.Rule().Grace; grace > 0 {
				s.work = min(s.work, grace)
			}
		}
		s.writes, _, _ = sc.rec.get()
		time.Sleep(time.Second) // the handler returns
	})
	return s
}

// scenes drains the route at each moment.
func (d *drill) scenes(r request.Request) {
	s := d.shape
	at := 1 // the write at which the drain begins
	if s.socket {
		at++ // behind the handshake
	}
	if s.writes > at {
		at++
	}
	begun := longLook // the handler begins the drain
	if s.writes < at {
		begun, at = 5*time.Second, 0
	}
	watched := func(name string, m moment) {
		d.scene(name, r, func(sc *scene) {
			sc.rec.moment = m
			v := sc.visit(r, s.socket)
			sc.awaitMoment(begun)
			sc.drain()
			d.judgeVisitor(sc, v)
		})
	}
	watched("drained before its first byte", moment{before: true})
	watched("drained between two writes", moment{at: at})
	if at > 0 {
		watched("drained in the middle of a write", moment{at: at, middle: true})
	}
	if s.infinite || s.visitor.took > time.Second {
		d.scene("drained while it waited", r, func(sc *scene) {
			v := sc.visit(r, s.socket)
			sc.awaitMoment(min(s.visitor.took/2, 5*time.Second+pause))
			sc.drain()
			d.judgeVisitor(sc, v)
		})
	}
	d.scene("drained while its peer read nothing", r, func(sc *scene) {
		sc.raw(r.Wire("draintest.test", s.socket))
		sc.awaitMoment(5 * time.Second)
	})
	d.scene("drained while its peer read slowly", r, func(sc *scene) {
		sc.rec.moment = moment{at: at}
		v := sc.visitSlowly(r, s)
		sc.awaitMoment(begun)
		sc.drain()
		d.judgeVisitor(sc, v)
	})
	d.scene("drained with its request half sent", r, func(sc *scene) {
		text := r.Wire("draintest.test", s.socket)
		half := len(text) / 2
		if len(r.Body) > 1 && !s.socket {
			half = len(text) - len(r.Body)/2
		}
		sc.raw(text[:half])
		sc.awaitMoment(5 * time.Second)
	})
	d.scene("drained as its peer vanished", r, func(sc *scene) {
		sc.rec.moment = moment{at: at}
		c := sc.raw(r.Wire("draintest.test", s.socket))
		sc.awaitMoment(min(begun, 5*time.Second))
		_ = Vanish(c)
	})
	d.late("drained as a new client came", r, 0)
	d.late("drained as its connection waited to be accepted", r, time.Second/2)
	d.scene("drained twice at once, with two clients", r, func(sc *scene) {
		sc.rec.moment = moment{at: at}
		sc.rec.begin = func() {
			sc.awaitCalls(2)
			sc.begin()
		}
		v, w := sc.visit(r, s.socket), sc.visit(r, s.socket)
		sc.awaitMoment(begun)
		for range 2 {
			go func() { _ = sc.d.Shutdown(context.Background()) }() // Run returns the same
		}
		sc.drain()
		d.judgeVisitor(sc, v)
		d.judgeVisitor(sc, w)
	})
	if d.second.Path != "" {
		d.scene("drained before its second request", r, func(sc *scene) {
			v := sc.visit(r, s.socket)
			time.Sleep(time.Second)
			sc.stop()
			sc.began = time.Now()
			sc.awaitDrain()
			w := sc.visit(d.second, false)
			w.end(10 * time.Second)
			d.judgeSecond(sc, w)
			sc.drain()
			d.judgeVisitor(sc, v)
		})
	}
}

// late drains the route's server, held open by another request, and has a client come meanwhile:
// one that connects by this much before the drain, and is accepted in it.
func (d *drill) late(name string, r request.Request, before time.Duration) {
	d.scene(name, r, func(sc *scene) {
		hold := sc.visit(request.Request{Method: http.MethodGet, Path: holdPath}, false)
		synctest.Wait()
		var v *visitor
		if before > 0 {
			sc.listener.d = sc.d.Budget.Announce + 2*before
			v = sc.visit(r, d.shape.socket)
			time.Sleep(before)
		}
		sc.stop()
		sc.began = time.Now()
		sc.awaitDrain()
		if v == nil {
			v = sc.visit(r, d.shape.socket)
		}
		v.end(10 * time.Second)
		d.judgeLate(sc, v, r)
		close(sc.holding)
		hold.end(time.Second)
	})
}

// scene runs f with a new server in a bubble, drains the server if f hasn't, and judges how its
// handlers ended.
func (d *drill) scene(moment string, r request.Request, f func(sc *scene)) {
	if probe := r.HTTP("http://draintest.test"); sse.FromEventSource(probe) {
		moment += ", with an EventSource"
	} else if sse.Accepts(probe) {
		moment += ", with a client that is no EventSource"
	}
	before := len(d.findings)
	dead := inOwnBubble(d.t, func(t *testing.T) {
		sc := newScene(t, d.start)
		sc.name = moment
		f(sc)
		if !sc.drained {
			sc.drain()
		}
		d.judgeScene(sc)
	})
	if dead != nil && len(d.findings) == before && !d.dead {
		d.report("0.2", moment, fmt.Sprintf("doesn't come to an end: %v", dead))
	}
	d.dead = d.dead || dead != nil
}

// inOwnBubble calls f in a bubble, and returns what the bubble died of: goroutines that never end.
func inOwnBubble(t *testing.T, f func(t *testing.T)) (dead any) {
	defer func() { dead = recover() }()
	synctest.Test(t, f)
	return nil
}

// figure matches what may differ between two texts of one finding.
var figure = regexp.MustCompile(`\b\d+(\.\d+)?( of \d+ (bytes|messages)|ms| s|s)\b`)

// report adds a finding, or a moment to the same one.
func (d *drill) report(rule, moment, text string) {
	f := Finding{Rule: rule, Route: d.route.Name(), Text: text}
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
