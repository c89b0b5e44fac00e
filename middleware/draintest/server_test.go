package draintest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// news is an event stream that never ends by itself.
func news(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "data: hello\n\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

var upgrader websocket.Upgrader

// echo is a WebSocket.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, text, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, text) != nil {
			return
		}
	}
}

func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /news", news)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	return mux
}

// useServer opens a stream, gets an answer and talks over a WebSocket, and leaves the stream and
// the WebSocket open.
func useServer(t *testing.T, s *Server, client *http.Client, proto string) {
	res, err := client.Get(s.URL + "/")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, proto, string(body))

	res, err = client.Get(s.URL + "/news")
	require.NoError(t, err)
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "data: hello\n", line)

	d := websocket.Dialer{NetDialContext: s.Dial, TLSClientConfig: s.Client().Transport.(*http.Transport).TLSClientConfig}
	c, _, err := d.Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/echo", nil)
	require.NoError(t, err)
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("hi")))
	_, text, err := c.ReadMessage()
	require.NoError(t, err)
	assert.Equal(t, "hi", string(text))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _, err := c.ReadMessage()
		assert.True(t, websocket.IsCloseError(err, websocket.CloseServiceRestart), "%v", err)
		c.Close()
		_, err = io.ReadAll(res.Body)
		assert.Error(t, err, "Go's client is no EventSource")
		res.Body.Close()
	}()
	t.Cleanup(func() { <-gone })
}

func quick() *middleware.Drainer {
	return &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
}

func TestProtocols(t *testing.T) {
	for name, c := range map[string]struct {
		start  func(testing.TB, *middleware.Drainer, http.Handler) *Server
		client func(*Server) *http.Client
		proto  string
	}{
		"HTTP1":     {NewServer, (*Server).Client, "HTTP/1.1"},
		"h2c":       {NewServer, (*Server).HTTP2Client, "HTTP/2.0"},
		"TLS":       {NewTLSServer, (*Server).Client, "HTTP/1.1"},
		"TLS HTTP2": {NewTLSServer, (*Server).HTTP2Client, "HTTP/2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failed tb
			d := quick()
			s := c.start(&failed, d, site())
			useServer(t, s, c.client(s), c.proto)
			assert.Empty(t, failed.end())
			assert.EqualValues(t, 2, d.Report().Told)
		})
		if c.proto == "HTTP/2.0" && !http2InBubbles {
			continue
		}
		t.Run(name+" in a bubble", func(t *testing.T) {
			began := time.Now()
			synctest.Test(t, func(t *testing.T) {
				var failed tb
				d := &middleware.Drainer{Policy: policy.Rule{Spread: 15 * time.Second}}
				s := c.start(&failed, d, site())
				useServer(t, s, c.client(s), c.proto)
				assert.Empty(t, failed.end())
				assert.EqualValues(t, 2, d.Report().Told)
			})
			t.Logf("it took %v", time.Since(began))
		})
	}
}

func TestCutIsAFailureThatNamesTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed tb
		s := NewServer(&failed, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			news(w, r)
			time.Sleep(1500 * time.Millisecond)
		}))
		res, err := s.Client().Get(s.URL + "/late?x=1")
		require.NoError(t, err)
		defer res.Body.Close()
		time.Sleep(time.Minute)
		text := failed.end()
		assert.Regexp(t, `^draintest: GET /late had to be cut, 1m1\.\d+s after it began: it sleeps in draintest\.TestCut.*\(server_test\.go:\d+\)`, text)
	})
}

func TestHandlerThatDoesNotReturnIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed tb
		never := make(chan int)
		s := NewServer(&failed, &middleware.Drainer{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-never }))
		go func() { _, _ = s.Client().Get(s.URL) }()
		synctest.Wait()
		time.AfterFunc(25*time.Second, func() { close(never) }) // once the drain is over, before goroutines are looked for
		text := failed.end()
		assert.Regexp(t, `^draintest: GET / has not returned, 2\d\S*s after it began: it waits in .* to receive from a channel`, text)
		assert.NotContains(t, text, "goroutine")
	})
}

func TestCutsOfADrainThatTheTestBeganAreItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed tb
		d := &middleware.Drainer{}
		s := NewServer(&failed, d, http.HandlerFunc(news))
		res, err := s.Client().Get(s.URL)
		require.NoError(t, err)
		defer res.Body.Close()
		require.NoError(t, d.Close())
		assert.Empty(t, failed.end())
	})
}

func TestGoroutineThatIsLeftIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan int)
		var failed, other tb
		s := NewServer(&failed, &middleware.Drainer{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			go func() { leave <- 1 }()
		}))
		NewServer(&other, &middleware.Drainer{}, site())
		res, err := s.Client().Get(s.URL)
		require.NoError(t, err)
		res.Body.Close()
		assert.Empty(t, other.end())
		assert.Regexp(t, `a goroutine of the server is left: it waits in draintest\.TestGoroutine.*server_test\.go:\d+\) to send on a channel`, failed.end())
		<-leave
	})
}

func TestHundredsInParallel(t *testing.T) {
	var all sync.WaitGroup
	for range 300 {
		all.Go(func() {
			failed := tb{TB: t}
			s := NewServer(&failed, quick(), site())
			res, err := s.Client().Get(s.URL + "/news")
			if assert.NoError(t, err) {
				failed.Cleanup(func() { res.Body.Close() })
			}
			assert.Empty(t, failed.end())
		})
	}
	all.Wait()
}

func BenchmarkServer(b *testing.B) {
	h := site()
	for b.Loop() {
		failed := tb{TB: b}
		s := NewServer(&failed, quick(), h)
		res, err := s.Client().Get(s.URL)
		if err != nil {
			b.Fatal(err)
		}
		res.Body.Close()
		if text := failed.end(); text != "" {
			b.Fatal(text)
		}
	}
}
