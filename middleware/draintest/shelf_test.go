package draintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/r3labs/sse/v2"
	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse/r3labs"
	"github.com/lastcall-go/lastcall/stream"
)

// A startFunc is what Drill takes.
type startFunc = func(t testing.TB, d *middleware.Drainer) http.Handler

// A book of the shelf is a handler with a known fault, and its repaired twin. They sleep in the
// drill's bubbles.
type book struct {
	route            string
	faulty, repaired startFunc
	rule             string
	text             string // that the finding must match
	moment           string // that it must have, among others; empty: any
}

func handler(h http.HandlerFunc) startFunc {
	return func(testing.TB, *middleware.Drainer) http.Handler { return h }
}

var shelf = map[string]book{
	"ignores its context": {
		route: "GET /events", rule: "1.1",
		faulty: handler(waitsForNews), repaired: handler(news),
		text: `did not return after its context was canceled: it waits in draintest\.waitsForNews \(shelf_test\.go:\d+\).* to receive from a channel that nobody sends on or closes`,
	},
	"is late": {
		route: "GET /events", rule: "1.1",
		faulty:   handler(func(w http.ResponseWriter, r *http.Request) { news(w, r); time.Sleep(3 * time.Second) }),
		repaired: handler(func(w http.ResponseWriter, r *http.Request) { news(w, r); time.Sleep(time.Second / 2) }),
		text:     `returned only \d\.\d s after its context was canceled: it sleeps in draintest\.init\.func\d+ \(shelf_test\.go:\d+\)`,
	},
	"a hub that never stops": {
		route: "GET /ws", rule: "1.2",
		faulty:   func(t testing.TB, _ *middleware.Drainer) http.Handler { return newHub(nil, nil) },
		repaired: func(t testing.TB, _ *middleware.Drainer) http.Handler { return newHub(t.Context().Done(), t.Cleanup) },
		text:     `leaves a goroutine of the server after the drain: it waits in draintest\.\(\*hub\)\.run \(shelf_test\.go:\d+\), in a select`,
	},
	"a step that waits for the next message": { // gin's c.Stream
		route: "GET /events", rule: "1.1",
		faulty:   handler(func(w http.ResponseWriter, r *http.Request) { ginStream(w, make(chan string), nil) }),
		repaired: handler(func(w http.ResponseWriter, r *http.Request) { ginStream(w, make(chan string), r.Context().Done()) }),
		text:     `in draintest\.ginStream`,
	},
	"writes when it has returned": {
		route: "GET /report", rule: "1.3",
		faulty:   handler(func(w http.ResponseWriter, r *http.Request) { audit(w) }),
		repaired: handler(func(w http.ResponseWriter, r *http.Request) { audit(w).Wait() }),
		text:     `writes after its handler has returned, in draintest\.audit\.\w+ \(shelf_test\.go:\d+\)`,
	},
	"leaves its WebSocket open": {
		route: "/ws", rule: "1.4",
		faulty:   handler(func(w http.ResponseWriter, r *http.Request) { _, _ = upgrader.Upgrade(w, r, nil) }),
		repaired: handler(echo),
		text:     `leaves the connection open that .*draintest.* hijacked`,
	},
	"panics at its end": {
		route: "GET /events", rule: "1.5",
		faulty: handler(func(w http.ResponseWriter, r *http.Request) {
			news(w, r)
			var rows map[string]int
			//lint:ignore SA5000 it is the fault
			rows["end"]++
		}),
		repaired: handler(news),
		text:     `panics: assignment to entry in nil map, in draintest\.init\.func\d+ \(shelf_test\.go:\d+\)`,
	},
	"endless, and taken for finite": {
		route: "GET /watch", rule: "2.2",
		faulty: handler(watch),
		repaired: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			d.Policy = policy.Rule{Kind: policy.Infinite}
			return http.HandlerFunc(watch)
		},
		text: `the drain waited 23\.0 s for it`,
	},
	"a truncation that recover hides": {
		route: "GET /export", rule: "3.1",
		faulty: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			return export(func(r *http.Request) <-chan struct{} { return d.Draining() }) // its rows are closed as the drain begins
		},
		repaired: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			return export(func(r *http.Request) <-chan struct{} { return nil })
		},
		text: `looks whole to its client, but is cut short: \d+ of 400 bytes`,
	},
	"breaks an answer off": {
		route: "POST /export", rule: "3.2",
		faulty: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			h := export(func(r *http.Request) <-chan struct{} { return d.Draining() })
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "400")
				h.ServeHTTP(w, r)
			})
		},
		repaired: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			return export(func(r *http.Request) <-chan struct{} { return nil })
		},
		text: `was under way and is lost \(unexpected EOF\), though it takes 4\.0 s and had 23\.0 s`,
	},
	"hurries its readers": {
		route: "GET /download", rule: "3.2",
		faulty: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			return download(func(c *http.ResponseController) {
				select {
				case <-d.Draining():
					_ = c.SetWriteDeadline(time.Now().Add(time.Second / 10))
				default:
				}
			})
		},
		repaired: func(testing.TB, *middleware.Drainer) http.Handler { return download(func(*http.ResponseController) {}) },
		text:     `was under way and is lost \(unexpected EOF\), though it takes 5\.0 s and had 23\.0 s`,
		moment:   "drained while its peer read slowly",
	},
	"refuses with an empty 200": {
		route: "GET /page", rule: "3.3",
		faulty: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			d.Refusal = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			return http.HandlerFunc(page)
		},
		repaired: handler(page),
		text:     `answers a new request with status 200 and 0 bytes`,
		moment:   "drained as its connection waited to be accepted",
	},
	"answers 503 to an EventSource": {
		route: "GET /events", rule: "3.4",
		faulty: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			d.Refusal = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "5")
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			return http.HandlerFunc(news)
		},
		repaired: handler(news),
		text:     `answers an EventSource with status 503, on which it gives up for good`,
	},
	"an answer over GET that looks like a stream": {
		route: "GET /answer", rule: "3.5",
		faulty: handler(answer),
		repaired: handler(func(w http.ResponseWriter, r *http.Request) {
			stream.Tag(r.Context(), policy.Finite)
			answer(w, r)
		}),
		text: `ends by itself, 2\.0 s after it began, but is taken for a stream`,
	},
	"ends its stream as the drain begins": {
		route: "GET /events", rule: "4.1",
		faulty: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			d.Budget.Announce = t100ms // or the farewell may be first
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				defer cancel()
				go func() {
					defer cancel()
					select {
					case <-d.Draining():
					case <-ctx.Done():
					}
				}()
				news(w, r.WithContext(ctx))
			})
		},
		repaired: handler(news),
		text:     `ends without a last event that tells its client when to come back`,
	},
	"ends within an event": {
		route: "GET /events", rule: "4.2",
		faulty: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprint(w, "event: a\n")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-d.Draining():
				case <-r.Context().Done():
				}
			})
		},
		repaired: handler(news),
		text:     `ends within an event`,
	},
	"a clean end for everybody": {
		route: "GET /events", rule: "4.3",
		faulty: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			d.Policy = policy.Rule{Ending: policy.CleanEnding}
			return http.HandlerFunc(news)
		},
		repaired: handler(news),
		text:     `ends cleanly for a client that is no EventSource`,
	},
	"closes its WebSocket as the drain begins": {
		route: "GET /ws\n\nhello\nworld", rule: "4.4",
		faulty: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := upgrader.Upgrade(w, r, nil)
				if err != nil {
					return
				}
				stop := context.AfterFunc(doneOf(d.Draining()), func() { c.Close() })
				defer stop()
				for err == nil {
					_, _, err = c.ReadMessage()
				}
				c.Close()
			})
		},
		repaired: handler(echo),
		text:     `ends without a Close frame`,
	},
	"a call that needs a second one": {
		route: "POST /calls\n\n{}\n---\nPOST /calls/answer\n\n{}", rule: "5.1",
		faulty: func(testing.TB, *middleware.Drainer) http.Handler { return calling() },
		repaired: func(_ testing.TB, d *middleware.Drainer) http.Handler {
			var rules policy.Mux
			rules.Handle("POST /calls/answer", policy.Rule{Admit: true})
			d.Policy = &rules
			return calling()
		},
		text: `needs POST /calls/answer, which is refused while the server drains \(status 503\)`,
	},
	"r3labs, closed first": {
		route: "GET /events?stream=s", rule: "1.",
		faulty: func(t testing.TB, d *middleware.Drainer) http.Handler {
			s := newsServer(t)
			begun := d.Draining()
			go func() {
				select {
				case <-begun:
					s.Close()
				case <-t.Context().Done():
				}
			}()
			return s
		},
		repaired: func(t testing.TB, d *middleware.Drainer) http.Handler {
			h := &r3labs.Handler{Server: newsServer(t)}
			t.Cleanup(func() { assert.NoError(t, h.Close(context.Background())) })
			return h
		},
		text: `github\.com/r3labs|v2\.\(\*`,
	},
}

func waitsForNews(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "data: hello\n\n")
	_ = http.NewResponseController(w).Flush()
	comes := make(chan string)
	fmt.Fprint(w, <-comes)
}

// A hub hands on what its WebSockets send to all of them, in the manner of an example that many
// have copied.
type hub struct {
	join, leave chan *websocket.Conn
	said        chan string
	stop        <-chan struct{}
	done        chan struct{}
}

func newHub(stop <-chan struct{}, cleanup func(func())) *hub {
	h := &hub{make(chan *websocket.Conn), make(chan *websocket.Conn), make(chan string), stop, make(chan struct{})}
	go h.run()
	if cleanup != nil {
		cleanup(func() { <-h.done })
	}
	return h
}

func (h *hub) run() {
	defer close(h.done)
	members := map[*websocket.Conn]bool{}
	for {
		select {
		case c := <-h.join:
			members[c] = true
		case c := <-h.leave:
			delete(members, c)
		case text := <-h.said:
			for c := range members {
				_ = c.WriteMessage(websocket.TextMessage, []byte(text))
			}
		case <-h.stop:
			return
		}
	}
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	h.join <- c
	defer func() { h.leave <- c }()
	for {
		_, text, err := c.ReadMessage()
		if err != nil {
			return
		}
		h.said <- string(text)
	}
}

// ginStream is what a handler of gin's c.Stream comes to: between two steps it looks whether the
// client has gone, and a step waits for the next message.
func ginStream(w http.ResponseWriter, news chan string, done <-chan struct{}) {
	w.Header().Set("Content-Type", "text/event-stream")
	//lint:ignore SA1019 as gin does
	gone := w.(http.CloseNotifier).CloseNotify()
	for first := true; ; first = false {
		select {
		case <-gone:
			return
		default:
		}
		text := "hello"
		if !first {
			select {
			case text = <-news:
			case <-done:
				return
			}
		}
		fmt.Fprintf(w, "data: %s\n\n", text)
		w.(http.Flusher).Flush()
	}
}

func audit(w http.ResponseWriter) *sync.WaitGroup {
	fmt.Fprint(w, "the report\n")
	var all sync.WaitGroup
	all.Go(func() {
		time.Sleep(time.Second)
		fmt.Fprint(w, "and its end\n")
	})
	return &all
}

// watch never ends, and shows nobody that it is a stream.
func watch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		fmt.Fprintln(w, `{"a":1}`)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// export writes 40 rows of 10 bytes in 4 s, and panics where there is none any more, as the rows of
// a database do that is closed. It recovers, as middleware does for all handlers.
func export(closed func(*http.Request) <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		for range 40 {
			select {
			case <-closed(r):
				panic(errors.New("the rows are closed"))
			case <-r.Context().Done():
				return
			case <-newTimer(t100ms):
			}
			fmt.Fprint(w, "123456789\n")
			_ = http.NewResponseController(w).Flush()
		}
	})
}

// download writes 256 KiB in pieces.
func download(before func(*http.ResponseController)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, 32<<10)
		for range 8 {
			before(http.NewResponseController(w))
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
}

const t100ms = 100 * time.Millisecond

func newTimer(d time.Duration) <-chan time.Time { return time.NewTimer(d).C }

func page(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello\n") }

func answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for range 20 {
		time.Sleep(100 * time.Millisecond)
		if r.Context().Err() != nil {
			return
		}
		fmt.Fprint(w, "data: token\n\n")
		_ = http.NewResponseController(w).Flush()
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// doneOf returns a context that ends when c is closed.
func doneOf(c <-chan struct{}) context.Context { return closedContext{context.Background(), c} }

type closedContext struct {
	context.Context
	c <-chan struct{}
}

func (c closedContext) Done() <-chan struct{} { return c.c }

func (c closedContext) Err() error {
	select {
	case <-c.c:
		return context.Canceled
	default:
		return nil
	}
}

// calling answers POST /calls when its client has answered in turn, or after 10 s.
func calling() http.Handler {
	answered := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /calls", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		timer := time.NewTimer(10 * time.Second)
		defer timer.Stop()
		select {
		case <-answered:
			fmt.Fprintln(w, "answered")
		case <-timer.C:
			fmt.Fprintln(w, "on my own")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /calls/answer", func(w http.ResponseWriter, r *http.Request) {
		answered <- struct{}{}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// newsServer publishes an event a second, and ends with its test.
func newsServer(t testing.TB) *sse.Server {
	s := sse.New()
	s.AutoReplay = false
	s.CreateStream("s")
	var publisher sync.WaitGroup
	publisher.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.TryPublish("s", &sse.Event{Data: []byte("hello")})
			case <-t.Context().Done():
				return
			}
		}
	})
	t.Cleanup(publisher.Wait)
	return s
}

func TestShelf(t *testing.T) { check(t, shelf) }

// A Close frame may have no code: the client sees a clean end, and 1005.
func TestCloseFrameWithoutACode(t *testing.T) {
	assert.Empty(t, Check(t, handler(func(w http.ResponseWriter, r *http.Request) {
		var upgrader websocket.Upgrader
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.WriteMessage(websocket.TextMessage, []byte("hello"))
		_ = c.WriteMessage(websocket.CloseMessage, nil)
		_, _, _ = c.ReadMessage()
	}), "/ws"))
}

func TestStartThatSkips(t *testing.T) {
	var inner *testing.T
	t.Run("drill", func(t *testing.T) {
		inner = t
		Drill(t, func(t testing.TB, _ *middleware.Drainer) http.Handler {
			t.Skip("there is no database")
			return nil
		}, "/")
	})
	assert.True(t, inner.Skipped())
}

// A process of its own is drilled here, since the goroutines of the bubble never end.
func TestStartThatHangs(t *testing.T) {
	const hang = "LASTCALL_START_HANGS"
	if os.Getenv(hang) != "" {
		t.Log(Check(t, func(testing.TB, *middleware.Drainer) http.Handler { select {} }, "/"))
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestStartThatHangs$", "-test.v")
	cmd.Env = append(os.Environ(), hang+"=1")
	out, _ := cmd.CombinedOutput() // it fails, by goleak
	assert.Contains(t, string(out), "0.2: GET /, drained after its client had left, doesn't come to an end: deadlock")
}

// check checks that the drill finds the fault of each book, and none in its twin.
func check(t *testing.T, shelf map[string]book) {
	for name, b := range shelf {
		t.Run(name, func(t *testing.T) {
			found := Check(t, b.faulty, b.route)
			named := slices.ContainsFunc(found, func(f Finding) bool {
				return strings.HasPrefix(f.Rule, b.rule) && regexp.MustCompile(b.text).MatchString(f.Text) && (b.moment == "" || slices.Contains(f.Moments, b.moment))
			})
			assert.True(t, named, "it finds %v", found)
			for _, f := range found {
				t.Log(f)
			}
			if b.repaired != nil {
				assert.Empty(t, Check(t, b.repaired, b.route), "the repaired twin")
			}
		})
	}
}
