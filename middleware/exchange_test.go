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

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/internal/wsconn"
	"github.com/lastcall-go/lastcall/policy"
)

// A farewell that comes to a response whose connection was hijacked, and whose handler has
// returned, goes to the connection.
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

// A writer that has another farewell asked for while one is written.
type askingWriter struct {
	*httptest.ResponseRecorder
	x *exchange
}

func (w *askingWriter) Write(p []byte) (int, error) {
	if w.x != nil {
		w.x.Farewell(policy.Farewell{}, time.Hour)
	}
	return w.ResponseRecorder.Write(p)
}

// What is known of a farewell that is being written isn't lost to another one, which comes too
// late.
func TestAFarewellThatIsBeingWrittenIsNotReplaced(t *testing.T) {
	w := &askingWriter{ResponseRecorder: httptest.NewRecorder()}
	Graceful(new(Drainer), policy.Rule{Ending: policy.CleanEnding})(http.HandlerFunc(func(handed http.ResponseWriter, r *http.Request) {
		handed.Header().Set("Content-Type", "text/event-stream")
		_, err := io.WriteString(handed, "data: 1\n\n")
		assert.NoError(t, err)
		x := tracked.From(r.Context()).Carrier().(*exchange)
		w.x = x
		x.Publish(tracked.Moments{})
		x.AllowFarewell()
		x.Farewell(policy.Farewell{}, time.Second)
		assert.True(t, x.farewell.Load().inBody)
		assert.Equal(t, time.Second, x.farewell.Load().retry)
	})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Contains(t, w.Body.String(), "retry: 1000\n")
}

// An exchange and what the allocator adds to it fit into 576 bytes. The next larger size makes a
// handler's call a quarter slower.
func TestExchangeIsSmall(t *testing.T) {
	assert.LessOrEqual(t, unsafe.Sizeof(exchange{}), uintptr(576-8))
}
