package sse_test

import (
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/lastcall-go/lastcall/sse"
)

func ExampleEvent_Append() {
	e := sse.Event{Retry: 2500 * time.Millisecond, Name: "shutdown", Data: "back soon\nsame place"}
	fmt.Printf("%s", e.Append(nil))
	// Output:
	// retry: 2500
	// event: shutdown
	// data: back soon
	// data: same place
}

func ExampleRefuse() {
	r := httptest.NewRequest("GET", "/events", nil)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Cache-Control", "no-cache") // an EventSource's two headers
	w := httptest.NewRecorder()
	sse.Refuse(w, r, 4*time.Second)
	fmt.Printf("%d %s %q\n", w.Code, w.Result().Header.Get("Content-Type"), w.Body)
	// Output: 200 text/event-stream "retry: 4000\n\n"
}

// An EventSource sends its Accept by itself, and a browser that opens the page another.
func ExampleAccepts() {
	for _, accept := range []string{"text/event-stream", "text/html, */*;q=0.8"} {
		r := httptest.NewRequest("GET", "/events", nil)
		r.Header.Set("Accept", accept)
		fmt.Println(sse.Accepts(r))
	}
	// Output:
	// true
	// false
}
