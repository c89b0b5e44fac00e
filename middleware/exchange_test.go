package middleware

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
	"github.com/lastcall-go/lastcall/ws"
)

// What a finite request costs is for the most part the memory that it takes. With
// the request's copy, of 304 bytes in Go 1.26, this makes 512: a larger one would
// have a header of the runtime's and take 576.
func TestAnExchangeIsSmall(t *testing.T) {
	assert.LessOrEqual(t, unsafe.Sizeof(exchange{})-unsafe.Sizeof(http.Request{}), uintptr(208),
		"what only streams or drains need can be made when they need it")
}

// A farewell that comes to a response whose connection was hijacked, and whose
// handler has left, goes to the connection.
func TestAFarewellFollowsTheConnection(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	x := &exchange{d: new(Drainer)}
	require.True(t, x.Track(&x.d.registry, httptest.NewRequest("GET", "/", nil), &policy.Rule{Kind: policy.Infinite}, x))
	x.Plan(time.Now(), time.Now())
	x.Hand(&takeover{x: x, socket: ws.New(here, ws.Options{Switched: true})}, stream.WebSocket, "")
	x.turn.end()
	said := make(chan struct{})
	go func() {
		x.Farewell(policy.Farewell{}, time.Second)
		close(said)
	}()
	require.NoError(t, there.SetReadDeadline(time.Now().Add(10*time.Second)))
	head := make([]byte, 4)
	_, err := io.ReadFull(there, head)
	require.NoError(t, err)
	assert.Equal(t, []byte{0x88, byte(2 + len("service restart; retry=1000")), 1012 >> 8, 1012 & 0xff}, head, "a close frame")
	_ = there.Close()
	<-said
	_ = here.Close()
}
