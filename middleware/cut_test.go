package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A body that was cut never looks complete, whatever middleware is around Graceful: not by the end
// of a chunked body, nor, over HTTP/1.0, where the end of the connection is the end of the body, by
// an orderly close.
func TestCutBodyNeverLooksComplete(t *testing.T) {
	type server struct {
		version     string
		connContext bool // as Run sets it
	}
	type handler struct {
		writesOn bool // after its cancel
		rule     policy.Rule
	}
	for served, srv := range map[string]server{
		"HTTP/1.0":                     {"HTTP/1.0", true},
		"HTTP/1.1":                     {"HTTP/1.1", true},
		"HTTP/1.1 without ConnContext": {"HTTP/1.1", false},
		"HTTP/2":                       {"HTTP/2.0", true},
	} {
		for around, wrap := range map[string]func(http.Handler) http.Handler{
			"nobody": func(h http.Handler) http.Handler { return h }, "a writer without Unwrap": wrapWithoutUnwrap, "one who recovers": recoverPanics,
		} {
			for handles, h := range map[string]handler{
				"returns when canceled": {false, policy.Rule{Grace: policy.AtOnce}},
				"goes on until cut":     {true, policy.Rule{Grace: policy.AtOnce, Mercy: policy.AtOnce}},
			} {
				t.Run(fmt.Sprint(served, ", around Graceful ", around, ", inside one who ", handles), func(t *testing.T) {
					var log bytes.Buffer
					d := &middleware.Drainer{Policy: h.rule, Logger: slog.New(slog.NewTextHandler(&log, nil))}
					ts := httptest.NewUnstartedServer(wrap(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						_, err := io.WriteString(w, "first half")
						w.(http.Flusher).Flush()
						<-r.Context().Done()
						for err == nil && h.writesOn {
							_, err = io.WriteString(w, "and more")
						}
					}))))
					if srv.connContext {
						ts.Config.ConnContext = d.ConnContext
					}
					var res *http.Response
					if srv.version == "HTTP/2.0" {
						ts.EnableHTTP2 = true
						ts.StartTLS()
						defer ts.Close()
						var err error
						res, err = ts.Client().Get(ts.URL)
						require.NoError(t, err)
						require.Equal(t, 2, res.ProtoMajor)
					} else {
						ts.Start()
						defer ts.Close()
						c, err := net.Dial("tcp", ts.Listener.Addr().String())
						require.NoError(t, err)
						defer c.Close()
						res = sendRequest(t, c, bufio.NewReader(c), "/", srv.version)
					}
					defer res.Body.Close()
					_, err := io.ReadFull(res.Body, make([]byte, len("first half")))
					require.NoError(t, err)
					d.Start()
					_, err = io.Copy(io.Discard, res.Body)
					assert.Error(t, err)
					assert.NoError(t, d.Shutdown(context.Background()))
					assert.EqualValues(t, 1, d.Report().Cut)
					if h.writesOn {
						assert.Equal(t, !srv.connContext, strings.Contains(log.String(), "a cut can't close the connection"), "%s", &log)
					}
				})
			}
		}
	}
}

// recoverPanics recovers every panic, http.ErrAbortHandler too.
func recoverPanics(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		h.ServeHTTP(w, r)
	})
}

// The drain's own answer to who asked for an event stream is broken off where its client would take
// a clean end for the last word, over HTTP/1.0 by a reset.
func TestDrainsAnswerOverHTTP10IsBrokenOffByAReset(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Grace: policy.AtOnce}}
	ts := httptest.NewUnstartedServer(middleware.Graceful(d)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		d.Start()
		<-r.Context().Done()
	})))
	ts.Config.ConnContext = d.ConnContext
	ts.Start()
	defer ts.Close()
	c, err := net.Dial("tcp", ts.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	res := sendRequest(t, c, bufio.NewReader(c), "/", "HTTP/1.0", "Accept: text/event-stream, */*")
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	assert.Regexp(t, `^retry: \d+\n\n$`, string(body))
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	assert.NoError(t, d.Shutdown(context.Background()))
	assert.EqualValues(t, 1, d.Report().Canceled)
}
