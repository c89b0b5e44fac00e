package r3labs_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	r3 "github.com/r3labs/sse/v2"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/draintest"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse/r3labs"
)

// rig is a Handler with the stream "s" in a server under a Drainer, and its clients.
type rig struct {
	t       *testing.T
	d       *middleware.Drainer
	h       *r3labs.Handler
	net     *memnet.Network
	client  *http.Client
	stop    context.CancelFunc
	ran     chan error
	drained time.Time
}

// start must be called in a bubble, whose function must call end.
func start(t *testing.T, h *r3labs.Handler, rule policy.Rule) *rig {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	r := &rig{t: t, d: &middleware.Drainer{Policy: rule}, h: h, net: memnet.New(), ran: make(chan error, 1)}
	r.client = &http.Client{Transport: &http.Transport{DialContext: r.net.Dial}}
	h.Server.CreateStream("s")
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	srv := &http.Server{Handler: middleware.Graceful(r.d)(h), Protocols: protocols}
	go func() { r.ran <- r.d.Run(ctx, srv, func() error { return srv.Serve(r.net) }) }()
	return r
}

// drain begins the drain and the clock of since.
func (r *rig) drain() {
	synctest.Wait()
	r.drained = time.Now()
	r.stop()
	<-r.d.Draining()
}

func (r *rig) since() time.Duration { return time.Since(r.drained) }

// end is the order of the package's doc.
func (r *rig) end() middleware.Report {
	r.t.Helper()
	r.stop()
	require.NoError(r.t, <-r.ran)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(r.t, r.h.Close(ctx))
	r.client.CloseIdleConnections()
	return r.d.Report()
}

func (r *rig) publish(data string) { r.h.Server.Publish("s", &r3.Event{Data: []byte(data)}) }

// subscribe gives a new subscriber of the stream.
func (r *rig) subscribe(header ...string) *subscriber {
	r.t.Helper()
	return subscribe(r.t, r.client, header...)
}

func subscribe(t *testing.T, client *http.Client, header ...string) *subscriber {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://memory/?stream=s", nil)
	asEventSource(req)
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	return &subscriber{bufio.NewReader(res.Body), res.Body}
}

// stuck subscribes and never reads a byte. The connection must be closed before the bubble ends.
func (r *rig) stuck() net.Conn {
	r.t.Helper()
	c, err := draintest.Stuck(r.net.Dial, "", "/?stream=s")
	require.NoError(r.t, err)
	return c
}

type subscriber struct {
	*bufio.Reader
	io.Closer
}

// next gives the next event's lines, without the line ends of the last. io.EOF is a clean end.
func (s *subscriber) next() (string, error) {
	var event strings.Builder
	for {
		line, err := s.ReadString('\n')
		if err == io.EOF && (line != "" || event.Len() > 0) {
			return "", errors.New("the stream ends inside of an event: " + event.String() + line)
		}
		if err != nil {
			return "", err
		}
		if line == "\n" {
			return strings.TrimSuffix(event.String(), "\n"), nil
		}
		event.WriteString(line)
	}
}

// rest gives all events that are still to come.
func (s *subscriber) rest() ([]string, error) {
	for events := []string(nil); ; {
		event, err := s.next()
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		events = append(events, event)
	}
}

// asEventSource sets the header fields that every EventSource sends.
func asEventSource(r *http.Request) *http.Request {
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Cache-Control", "no-cache")
	r.Header.Set("User-Agent", "EventSource")
	return r
}
