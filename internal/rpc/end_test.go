package rpc

import (
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A finite call that the drain cancels ends with the status that its handler gives it. grpc-go
// closes its transport once the request's context has ended, and mostly sends none, nor does a
// proxy, so there the drain's own takes its place.
func TestCanceledCallEndsWithItsOwnStatus(t *testing.T) {
	for _, c := range cells {
		for _, call := range []struct{ name, request string }{
			{"unary", "one 1h own"}, {"silent list", "one 0 0 1h own"}, {"list", "one 2 10 1h own"},
		} {
			t.Run(c.name+"/"+call.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second}}
					s := serve(d, c.wire, c.handler(t, &service{"first", newLedger()}))
					client := c.newClient(oneOf(s))
					defer client.close()
					time.AfterFunc(time.Second, s.stop)
					var came int
					var err error
					if call.name == "unary" {
						_, err = client.unary(t.Context(), call.request)
					} else {
						err = client.list(t.Context(), call.request, func(string) { came++ })
					}
					if call.name == "silent list" {
						assert.NoError(t, err, "it has ended long before")
						assert.NoError(t, stopped(s))
						return
					}
					want := []string{"resource_exhausted"}
					switch c.server {
					case "grpc-go": // whichever its transport looks at first
						want = []string{"resource_exhausted", "unavailable"}
					case "proxy":
						want = []string{"unavailable"}
					}
					assert.Contains(t, want, code(err), "%v", err)
					if call.name == "list" {
						assert.Equal(t, 1, came)
					}
					assert.NoError(t, stopped(s))
					assert.EqualValues(t, 1, d.Report().Canceled)
					assert.EqualValues(t, 0, d.Report().Cut)
				})
			})
		}
	}
}

func stopped(s *server) error {
	s.stop()
	<-s.done
	return s.err
}

func code(err error) string {
	if f, ok := err.(*failure); ok {
		return f.code
	}
	return "ok"
}

// A body is cut within a message, or it has no end when the handler returns from its cancel: the
// client must not take it for whole. Behind a whole message the drain writes the end.
func TestCallWithoutAnEndIsNotWhole(t *testing.T) {
	message, err := proto.Marshal(wrapperspb.String("name/0/text"))
	assert.NoError(t, err)
	message = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	for _, c := range cells {
		for _, test := range []struct {
			name   string
			write  int // bytes before the cancel
			status string
			want   string // the error's message begins with it
		}{
			{"torn", len(message) + 7, "", ""},
			{"torn in the prefix", len(message) + 3, "", ""},
			{"torn, with a status", len(message) + 7, "0", ""},
			{"without an end", len(message), "", "the server is shutting down"},
			{"with nothing", 0, "", "the server is shutting down"},
		} {
			t.Run(c.name+"/"+test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second}}
					s := serve(d, c.wire, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						_, _ = io.Copy(io.Discard, r.Body)
						w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
						if test.write > 0 {
							_, _ = w.Write(append(message, message...)[:test.write])
							w.(http.Flusher).Flush()
						}
						<-r.Context().Done()
						if test.status != "" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
							w.Header().Set(http.TrailerPrefix+"Grpc-Status", test.status)
						}
					}))
					client := c.newClient(oneOf(s))
					defer client.close()
					time.AfterFunc(time.Second, s.stop)
					came := 0
					err := client.list(t.Context(), "name", func(string) { came++ })
					f, _ := err.(*failure)
					if assert.NotNil(t, f, "an error") && assert.Contains(t, f.message, test.want) && test.want != "" {
						assert.Equal(t, "unavailable", f.code)
						assert.GreaterOrEqual(t, f.retry, time.Second, "a reconnect slot")
					}
					assert.Equal(t, min(1, test.write/len(message)), came, "messages")
					assert.NoError(t, stopped(s))
					if test.want == "" {
						assert.EqualValues(t, 1, d.Report().Cut)
					} else {
						assert.EqualValues(t, 1, d.Report().Canceled)
					}
				})
			})
		}
	}
}

// A late call is refused in its protocol, also over a connection that its client has.
func TestLateCallIsRefused(t *testing.T) {
	nothing := func(string) {}
	for _, c := range cells {
		for name, call := range map[string]func(context.Context, client) error{ // the unary one is a GET in Connect
			"unary": func(ctx context.Context, c client) error { _, err := c.unary(ctx, "late 0s"); return err },
			"list":  func(ctx context.Context, c client) error { return c.list(ctx, "late 1 1 0s", nothing) },
			"watch": func(ctx context.Context, c client) error { return c.watch(ctx, "late 1 0s nil", nothing) },
			"chat":  func(ctx context.Context, c client) error { return c.chat(ctx, "late", func() {}) },
		} {
			if name == "chat" && !c.bidi() {
				continue
			}
			t.Run(c.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := &middleware.Drainer{}
					s := serve(d, c.wire, c.handler(t, &service{"first", newLedger()}))
					client := c.newClient(oneOf(s), connect.WithHTTPGet())
					defer client.close()
					going := make(chan error)
					go func() {
						_, err := client.unary(context.Background(), "going 5s")
						going <- err
					}()
					synctest.Wait()
					_, err := client.unary(t.Context(), "early 0s") // over HTTP/1.1 its connection is free again
					assert.NoError(t, err)
					s.stop()
					<-d.Draining()
					synctest.Wait()
					f, _ := call(t.Context(), client).(*failure)
					if assert.NotNil(t, f) {
						assert.Equal(t, "unavailable", f.code)
						assert.Equal(t, "the server is shutting down; please retry", f.message)
						assert.Positive(t, f.retry)
					}
					assert.NoError(t, <-going)
					assert.NoError(t, stopped(s))
					assert.EqualValues(t, 1, d.Report().Refused)
				})
			})
		}
	}
}

// A stream that has no room for its farewell in the body, since its handler hasn't sent anything,
// is told all the same. Who is to stay away is told so.
func TestSilentStreamIsTold(t *testing.T) {
	for _, c := range cells {
		for name, test := range map[string]struct {
			farewell policy.Farewell
			message  string
			retry    time.Duration
		}{
			"comes back": {policy.ComeBack(), "service restart; retry=4000", 4 * time.Second},
			"own words":  {policy.Farewell{Reason: "à bientôt, 100 %"}, "à bientôt, 100 %", 4 * time.Second},
			"stays away": {policy.StayAway(), "closed; do not reconnect", -time.Millisecond},
		} {
			for _, gap := range []string{"0s", "1h"} { // the handler sends nothing, or one message
				t.Run(c.name+"/"+name+"/"+gap, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						at := policy.Window{Min: 4 * time.Second, Max: 4 * time.Second}
						d := &middleware.Drainer{Policy: infinite(policy.Rule{Farewell: test.farewell, Reconnect: at})}
						s := serve(d, c.wire, c.handler(t, &service{"first", newLedger()}))
						client := c.newClient(oneOf(s))
						defer client.close()
						time.AfterFunc(time.Second, s.stop)
						f, _ := client.watch(t.Context(), "watch 1 "+gap+" own", func(string) {}).(*failure)
						if assert.NotNil(t, f) {
							assert.Equal(t, failure{"unavailable", test.message, test.retry}, *f)
						}
						assert.NoError(t, stopped(s))
						assert.EqualValues(t, 1, d.Report().Told)
					})
				})
			}
		}
	}
}
