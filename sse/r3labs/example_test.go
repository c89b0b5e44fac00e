package r3labs_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	r3 "github.com/r3labs/sse/v2"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse/r3labs"
)

// The drain ends the streams, and only then Close the library. A client that comes back with the last id that it saw
// gets what came after it.
func Example() {
	events := &r3labs.Handler{Server: r3.New()}
	events.Server.CreateStream("news")
	for _, headline := range []string{"one", "two", "three"} {
		events.Server.Publish("news", &r3.Event{Data: []byte(headline)})
	}

	d := &middleware.Drainer{Policy: policy.Rule{
		Timeout:   policy.AtOnce,
		Reconnect: policy.Window{Min: time.Second, Max: time.Second},
	}}
	srv := httptest.NewServer(middleware.Graceful(d)(events))
	defer srv.Close()
	req, _ := http.NewRequest(http.MethodGet, srv.URL+"?stream=news", nil)
	req.Header.Set("Last-Event-ID", "0")
	res, err := srv.Client().Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	seen := make([]byte, len("id: 1\ndata: two\n\nid: 2\ndata: three\n\n"))
	_, _ = io.ReadFull(res.Body, seen)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(d.Shutdown(ctx), events.Close(ctx))
	rest, err := io.ReadAll(res.Body)
	fmt.Printf("%s%s%v", seen, rest, err)
	// Output:
	// <nil> <nil>
	// id: 1
	// data: two
	//
	// id: 2
	// data: three
	//
	// retry: 1000
	// event: shutdown
	// data: {"retry":1000}
	//
	// unexpected EOF
}
