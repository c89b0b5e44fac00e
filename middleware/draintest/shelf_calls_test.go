package draintest

import (
	"cmp"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// The routes of a service, in each protocol.
const (
	watchGRPC    = "POST /news.v1.News/Watch\nContent-Type: application/grpc\n\n0a0474657874"
	watchWeb     = "POST /news.v1.News/Watch\nContent-Type: application/grpc-web+proto"
	watchConnect = "POST /news.v1.News/Watch\nContent-Type: application/connect+json\n\n{\"topic\":\"text\"}"
	listGRPC     = "POST /news.v1.News/List\nContent-Type: application/grpc"
	getConnect   = "POST /news.v1.News/Get\nContent-Type: application/json\nConnect-Protocol-Version: 1\n\n{}"
)

var callShelf = map[string]book{
	"gRPC: ends its stream as the drain begins": {
		route: watchGRPC, rule: "4.1",
		faulty: endless(service{stop: drainBegins}), repaired: endless(service{stop: canceled}),
		text: `ends with the status "ok" before it is told when to come back`,
	},
	"gRPC-Web: ends its stream as the drain begins": {
		route: watchWeb, rule: "4.1",
		faulty: endless(service{stop: drainBegins}), repaired: endless(service{stop: canceled}),
		text: `ends with the status "ok"`,
	},
	"Connect: ends its stream as the drain begins": {
		route: watchConnect, rule: "4.1",
		faulty: endless(service{stop: drainBegins, code: "canceled"}), repaired: endless(service{stop: canceled, code: "canceled"}),
		text: `ends with the status "canceled"`,
	},
	"gRPC: says itself that it is unavailable": {
		route: watchGRPC, rule: "4.1",
		faulty: endless(service{stop: drainBegins, code: "14"}), repaired: endless(service{stop: canceled, code: "14"}),
		text: `ends with the status "unavailable" before it is told when to come back`,
	},
	"gRPC: breaks its stream off": {
		route: watchGRPC, rule: "4.5",
		faulty: endless(service{stop: drainBegins, end: aborts}), repaired: endless(service{stop: canceled}),
		text: `ends without a status, as if the network had failed \(unexpected EOF\)`,
	},
	"Connect: breaks its stream off": {
		route: watchConnect, rule: "4.5",
		faulty: endless(service{stop: drainBegins, end: returns}), repaired: endless(service{stop: canceled}),
		text: `ends without a status, as if the network had failed \(status 200\)`,
	},
	"gRPC: ends within a message": {
		route: watchGRPC, rule: "4.2",
		faulty: endless(service{stop: drainBegins, torn: true, end: returns}), repaired: endless(service{stop: canceled}),
		text: `ends within a message, with an end in order`,
	},
	"Connect: ends within a message": {
		route: watchConnect, rule: "4.2",
		faulty: endless(service{stop: drainBegins, torn: true, end: returns}), repaired: endless(service{stop: canceled}),
		text: `ends within a message, with an end in order`,
	},
	"gRPC: ignores its context": {
		route: watchGRPC, rule: "1.1",
		faulty: endless(service{stop: func(*http.Request, *middleware.Drainer) <-chan struct{} { return make(chan struct{}) }, messages: 2}), repaired: endless(service{stop: canceled, messages: 2}),
		text: `did not return after its context was canceled: it waits in draintest\.service\.call`,
	},
	"gRPC: endless, and taken for finite": {
		route: watchGRPC, rule: "2.2",
		faulty: finite(service{stop: canceled}), repaired: endless(service{stop: canceled}),
		text: `doesn't end by itself, and is taken for an answer that does: the drain waited 23\.0 s`,
	},
	"gRPC: a list that is cut short and says that it is whole": {
		route: listGRPC, rule: "3.1",
		faulty: finite(service{stop: drainBegins, messages: 20, last: true}), repaired: finite(service{stop: canceled, messages: 20, last: true}),
		text: `looks whole to its client, but is cut short: \d+ of 20 messages, with status "ok"`,
	},
	"gRPC: a list that is broken off": {
		route: listGRPC, rule: "3.2",
		faulty: finite(service{stop: drainBegins, messages: 20, last: true, code: "13"}), repaired: finite(service{stop: canceled, messages: 20, last: true}),
		text: `was under way and is lost \(grpc-status 13\), though it takes \d\.\d s and had 23\.0 s`,
	},
	"Connect: a unary call that is lost": {
		route: getConnect, rule: "3.2",
		faulty: finite(service{stop: drainBegins, messages: 3, last: true, code: "internal"}), repaired: finite(service{stop: canceled, messages: 3, last: true}),
		text: `was under way and is lost \(internal\)`,
	},
	"gRPC: refuses with an empty 200": {
		route: listGRPC, rule: "3.3",
		faulty: refusing(func(w http.ResponseWriter, r *http.Request) {}), repaired: finite(service{stop: canceled, messages: 1, last: true}),
		text: `refuses a new call \(HTTP status 200 with content type ""\), on which its client doesn't try again`,
	},
	"gRPC: refuses without a time": {
		route: listGRPC, rule: "3.3",
		faulty: refusing(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "14")
		}), repaired: finite(service{stop: canceled, messages: 1, last: true}),
		text: `refuses a new call without the time to come back`,
	},
	"Connect: refuses with a status of its own": {
		route: getConnect, rule: "3.3",
		faulty: refusing(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"code":"aborted"}`)
		}), repaired: finite(service{stop: canceled, messages: 1, last: true}),
		text: `refuses a new call \(aborted\), on which its client doesn't try again, and not with the status "unavailable" of unary Connect`,
	},
	"gRPC: a path that nobody serves": {
		route: "POST /news.v1.News/Lists\nContent-Type: application/grpc", rule: "0.1",
		faulty: handler(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "12")
		}),
		text: `is a call of gRPC that fails without a drain, too \(grpc-status 12\)\. Is it the right path`,
	},
	"gRPC: a call that needs a second one": {
		route: watchGRPC + "\n---\n" + listGRPC, rule: "5.1",
		faulty: endless(service{stop: canceled}),
		repaired: func(t testing.TB, d *middleware.Drainer) http.Handler {
			h := endless(service{stop: canceled})(t, d)
			var rules policy.Mux
			rules.Handle("/news.v1.News/Watch", policy.TellComeBack())
			rules.Handle("/news.v1.News/List", policy.Rule{Admit: true})
			d.Policy = &rules
			list := finite(service{stop: canceled, messages: 1, last: true})(t, d)
			mux := http.NewServeMux()
			mux.Handle("/news.v1.News/Watch", h)
			mux.Handle("/news.v1.News/List", list)
			return mux
		},
		text: `needs POST /news\.v1\.News/List, which is refused while the server drains \(unavailable\)`,
	},
}

func TestCallShelf(t *testing.T) { check(t, callShelf) }

// A service sends a message each 200 ms, until it is stopped or has sent all. It speaks gRPC,
// gRPC-Web and Connect, by hand.
type service struct {
	stop     func(*http.Request, *middleware.Drainer) <-chan struct{}
	messages int    // how many there are; zero: no end
	last     bool   // the call ends behind them
	torn     bool   // half a message comes last, where it is stopped
	code     string // with which it ends where it is stopped; empty: as if all had come
	end      func() // in place of that
}

func canceled(r *http.Request, _ *middleware.Drainer) <-chan struct{} { return r.Context().Done() }

func drainBegins(_ *http.Request, d *middleware.Drainer) <-chan struct{} { return d.Draining() }

func aborts() { panic(http.ErrAbortHandler) }

func returns() {}

func endless(s service) startFunc {
	return func(_ testing.TB, d *middleware.Drainer) http.Handler {
		d.Policy = policy.TellComeBack()
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.call(w, r, d) })
	}
}

func finite(s service) startFunc {
	return func(_ testing.TB, d *middleware.Drainer) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.call(w, r, d) })
	}
}

func refusing(h http.HandlerFunc) startFunc {
	return func(t testing.TB, d *middleware.Drainer) http.Handler {
		d.Refusal = h
		return finite(service{stop: canceled, messages: 1, last: true})(t, d)
	}
}

func (s service) call(w http.ResponseWriter, r *http.Request, d *middleware.Drainer) {
	_, _ = io.Copy(io.Discard, r.Body)
	kind := r.Header.Get("Content-Type")
	if kind == "application/grpc" && r.ProtoMajor != 2 {
		w.WriteHeader(http.StatusHTTPVersionNotSupported) // as grpc-go does
		return
	}
	w.Header().Set("Content-Type", kind)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	done := s.stop(r, d)
	for n := 1; ; n++ {
		if n <= s.messages || s.messages == 0 {
			if kind != "application/json" {
				_, _ = w.Write(enveloped(0, "\x0a\x04news"))
				_ = http.NewResponseController(w).Flush()
			}
		} else if s.last {
			s.sendStatus(w, kind, "")
			return
		} else {
			<-done
		}
		select {
		case <-done:
			if s.torn {
				_, _ = w.Write(enveloped(0, "\x0a\x04news")[:7])
			}
			if s.end != nil {
				s.end()
				return
			}
			s.sendStatus(w, kind, s.code)
			return
		case <-tick.C:
		}
	}
}

func (s service) sendStatus(w http.ResponseWriter, kind, code string) {
	switch {
	case kind == "application/grpc":
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", cmp.Or(code, "0"))
	case strings.HasPrefix(kind, "application/grpc-web"):
		_, _ = w.Write(enveloped(0x80, "grpc-status: 0\r\n"))
	case kind == "application/json" && code != "":
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"code":"`+code+`"}`)
	case kind == "application/json":
		_, _ = io.WriteString(w, `{"text":"news"}`)
	case code != "":
		_, _ = w.Write(enveloped(2, `{"error":{"code":"`+code+`"}}`))
	default:
		_, _ = w.Write(enveloped(2, "{}"))
	}
}

func enveloped(flags byte, message string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message))), message...)
}
