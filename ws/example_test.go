package ws_test

import (
	"fmt"
	"io"
	"net"

	"github.com/lastcall-go/lastcall/ws"
)

// A farewell asked for in the middle of a frame comes after it.
func ExampleConn_Farewell() {
	inner, peer := net.Pipe()
	conn := ws.New(inner, ws.Options{Switched: true})
	wire := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(peer)
		wire <- b
	}()

	handler := conn.Handle()
	_, _ = handler.Write([]byte("\x81\x05he")) // a text frame of 5 bytes, cut
	conn.Farewell(ws.Farewell{Code: 1012, Reason: "service restart"})
	_, _ = handler.Write([]byte("llo"))
	_, _ = handler.Write([]byte("\x81\x05again")) // swallowed
	fmt.Printf("%+v\n", conn.State())
	conn.Cut()
	fmt.Printf("%q\n", <-wire)
	// Output:
	// {Following:true Said:true Sent:false Answered:false Closed:false CutOff:false}
	// "\x81\x05hello\x88\x11\x03\xf4service restart"
}
