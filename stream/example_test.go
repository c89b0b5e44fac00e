package stream_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A long-poll answers early when the server drains.
func ExampleDraining() {
	messages := make(chan string)
	poll := func(w http.ResponseWriter, r *http.Request) {
		select {
		case m := <-messages:
			_ = json.NewEncoder(w).Encode(map[string]any{"message": m})
		case <-stream.Draining(r.Context()):
			_ = json.NewEncoder(w).Encode(map[string]any{"message": nil, "draining": true})
		case <-r.Context().Done():
		}
	}
	go func() { messages <- "hello" }()
	w := httptest.NewRecorder()
	poll(w, httptest.NewRequest(http.MethodGet, "/poll", nil)) // tracked or not makes no difference
	fmt.Print(w.Body)
	// Output: {"message":"hello"}
}

// A language model's answer goes out as an event stream, and ends by itself.
func ExampleTag() {
	answer := func(w http.ResponseWriter, r *http.Request) {
		stream.Tag(r.Context(), policy.Finite)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: forty-two\n\nevent: done\ndata:\n\n")
	}
	w := httptest.NewRecorder()
	answer(w, httptest.NewRequest(http.MethodGet, "/answer", nil))
	fmt.Print(w.Body)
	// Output:
	// data: forty-two
	//
	// event: done
	// data:
}
