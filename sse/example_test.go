package sse_test

import (
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/lastcall-go/lastcall/sse"
)

// A library may write an event in pieces. A further event has to wait until the last one is out.
func ExampleScanner() {
	var s sse.Scanner
	for _, piece := range []string{"id: 7\n", "data: tick\n", "\n", ": heart", "beat\n"} {
		_, _ = s.Write([]byte(piece))
		fmt.Printf("%-14q %t\n", piece, s.AtBoundary())
	}
	// Output:
	// "id: 7\n"      false
	// "data: tick\n" false
	// "\n"           true
	// ": heart"      false
	// "beat\n"       true
}

// Where the piece at hand ends an event and begins another, only its first part may go out before a last event.
func ExampleScanner_Boundary() {
	var s sse.Scanner
	_, _ = s.Write([]byte("data: ti"))
	piece := []byte("ck\n\ndata: tock\n")
	fmt.Printf("%q\n", piece[:s.Boundary(piece)])
	// Output: "ck\n\n"
}

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
	w := httptest.NewRecorder()
	sse.Refuse(w, 4*time.Second)
	fmt.Printf("%d %s %q\n", w.Code, w.Result().Header.Get("Content-Type"), w.Body)
	// Output: 200 text/event-stream "retry: 4000\n\n"
}
