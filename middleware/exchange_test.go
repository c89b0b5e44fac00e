package middleware

import (
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/internal/wsconn"
	"github.com/lastcall-go/lastcall/policy"
)

// A farewell that comes to a response whose connection was hijacked, and whose handler has returned, goes to the connection.
func TestAFarewellFollowsTheConnection(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	x := &exchange{d: new(Drainer)}
	require.True(t, x.Begin(&x.d.registry, httptest.NewRequest("GET", "/", nil), &policy.Rule{Kind: policy.Infinite}, x))
	x.Publish(tracked.Moments{})
	x.AllowFarewell()
	ws := wsconn.New(here, wsconn.Options{Upgraded: true, BeforeFarewell: x.BeginFarewell})
	x.req = *x.Request()
	x.switchCarrier(webSocket{ws, &hijacked{x: x}}, format.WebSocket)
	x.ended = true
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

// An exchange and what the allocator adds to it fit into 576 bytes. The next larger size makes a
// handler's call a quarter slower.
func TestExchangeIsSmall(t *testing.T) {
	assert.LessOrEqual(t, unsafe.Sizeof(exchange{}), uintptr(576-8))
}
