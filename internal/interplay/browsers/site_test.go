package browsers

import (
	_ "embed"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

//go:embed page.html
var pageHTML []byte

const half = "half a body, "

// A site has the handlers of a server: a page, event streams and WebSockets without end, a body in
// two halves, and perhaps a download.
type site struct {
	name string          // how the first message of each event stream starts
	hold <-chan struct{} // closed to release the second half of the body
	rule policy.Rule     // the rule of the body

	download *download // nil for none
}

func (s site) handler() (http.Handler, *middleware.Drainer) {
	var rules policy.Mux
	rules.Handle("/events", policy.Rule{Timeout: policy.AtOnce, Reconnect: soon})
	rules.Handle("/ws", policy.Rule{
		Reconnect: soon,
		Farewell:  policy.Farewell{Code: 4321, Reason: "moving; retry={retry}"},
	})
	rules.Handle("/body", s.rule)
	d := &middleware.Drainer{Policy: &rules}

	inner := http.NewServeMux()
	if s.download != nil {
		rules.Handle("/download", s.download.rule())
		d.Budget = s.download.budget()
		inner.Handle("GET /download", s.download)
	}
	inner.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pageHTML) })
	inner.HandleFunc("GET /events", s.events)
	inner.HandleFunc("GET /ws", s.socket)
	inner.HandleFunc("GET /body", s.body)
	outer := http.NewServeMux()
	outer.Handle("/", middleware.Graceful(d)(inner))
	outer.Handle("GET /readyz", d.Readiness())
	return outer, d
}

// soon is so short that an EventSource reconnects several times in one drain.
var soon = policy.Window{Min: 100 * time.Millisecond, Max: 300 * time.Millisecond}

func (s site) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "data: %s over %s\n\n", s.name, r.Proto)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func (s site) socket(w http.ResponseWriter, r *http.Request) {
	var upgrader websocket.Upgrader
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has responded
	}
	defer conn.Close()
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
}

func (s site) body(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("length") {
		w.Header().Set("Content-Length", fmt.Sprint(2*len(half)))
	}
	fmt.Fprint(w, half)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-s.hold:
		fmt.Fprint(w, half)
	case <-r.Context().Done():
	}
}
