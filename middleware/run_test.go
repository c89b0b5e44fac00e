package middleware_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

func TestRunWhenServingFails(t *testing.T) {
	d := &middleware.Drainer{}
	err := d.Run(context.Background(), &http.Server{Addr: "256.0.0.1:x"}, func() error { return errors.New("no such port") })
	assert.EqualError(t, err, "middleware: serving 256.0.0.1:x: no such port")
	assert.Equal(t, middleware.Done, d.Report().Phase)
	assert.Equal(t, "serving 256.0.0.1:x: no such port", d.Report().Cause)
}

// When no server is left that serves, there is nobody to announce a drain to.
func TestRunDoesNotAnnounceThatServingFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Announce: 10 * time.Second}}
		r := serve(t, d, http.NotFoundHandler())
		synctest.Wait()
		began := time.Now()
		err := d.Run(context.Background(), &http.Server{}, func() error { return errors.New("no such port") })
		require.EqualError(t, err, "middleware: serving: no such port")
		assert.Equal(t, 10*time.Second, time.Since(began), "the first server still serves")
		took, err := r.end()
		require.NoError(t, err)
		assert.Equal(t, 10*time.Second, took, "and ends with the others")

		d = &middleware.Drainer{Budget: d.Budget}
		began = time.Now()
		require.Error(t, d.Run(context.Background(), &http.Server{}, func() error { return errors.New("no such port") }))
		assert.Zero(t, time.Since(began))
	})
}

// Run ends with the drain, whoever begins it for good.
func TestRunEndsWithTheDrain(t *testing.T) {
	for name, begin := range map[string]func(*middleware.Drainer){
		"Start":    (*middleware.Drainer).Start,
		"Shutdown": func(d *middleware.Drainer) { _ = d.Shutdown(context.Background()) },
		"Close":    func(d *middleware.Drainer) { _ = d.Close() },
		"Drain, then Start": func(d *middleware.Drainer) {
			d.Drain()
			time.Sleep(time.Hour)
			d.Start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{}
				r := serve(t, d, http.NotFoundHandler())
				synctest.Wait()
				begin(d)
				require.NoError(t, <-r.ran)
				r.ran <- nil
				_, _ = r.end()

				err := d.Run(t.Context(), &http.Server{}, func() error {
					t.Error("served")
					return nil
				})
				assert.EqualError(t, err, "middleware: Run was called on a Drainer whose drain is final, and would refuse every request; give Run and Graceful a new Drainer")
			})
		})
	}
}

func TestRunChecksFirst(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Minute}}
	err := d.Run(context.Background(), &http.Server{}, func() error {
		t.Error("served")
		return nil
	})
	assert.ErrorContains(t, err, "grace 1m0s")
}

func TestRunReportsWhatIsMissing(t *testing.T) {
	d := &middleware.Drainer{}
	const missing = "middleware: Run was given no server, or nothing that serves it; give it srv and srv.ListenAndServe, say"
	assert.EqualError(t, d.Run(t.Context(), nil, func() error { return nil }), missing)
	assert.EqualError(t, d.Run(t.Context(), &http.Server{}, nil), missing)

	for _, wrapped := range []bool{false, true} {
		var log bytes.Buffer
		d := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if wrapped {
			middleware.Graceful(d) // as echo has it, which wraps a handler with each request
		}
		require.NoError(t, d.Run(t.Context(), &http.Server{}, func() error { return nil }))
		assert.Equal(t, !wrapped, strings.Contains(log.String(), "Run will drain nothing"), "%s", &log)
		assert.Contains(t, log.String(), "serve returned without an error and without a signal")
	}
}

func TestRunDoesNotWaitForAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		other := make(chan struct{})
		began := time.Now()
		err := new(middleware.Drainer).Run(ctx, &http.Server{}, func() error { <-other; return nil })
		assert.EqualError(t, err, "middleware: serving: serve has not returned a second after srv was shut down; it must serve srv, and nothing else")
		assert.Equal(t, time.Second, time.Since(began))
		close(other)
	})
}

func TestRunKeepsTheServersHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		d := &middleware.Drainer{}
		var states []http.ConnState
		var mu sync.Mutex
		srv := &http.Server{
			Handler: middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.Context().Value(key{}).(string))
			})),
			ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, key{}, "mine") },
			ConnState: func(_ net.Conn, s http.ConnState) {
				mu.Lock()
				defer mu.Unlock()
				states = append(states, s)
			},
		}
		l := memnet.New()
		r := &rig{t: t, d: d, net: l, ran: make(chan error, 1), client: &http.Client{Transport: &http.Transport{DialContext: l.Dial}}}
		ctx, stop := context.WithCancel(context.Background())
		r.stop = stop
		go func() { r.ran <- d.Run(ctx, srv, func() error { return srv.Serve(l) }) }()
		assert.Equal(t, "mine", (<-r.getAsync("/")).body)
		_, err := r.end()
		assert.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateClosed}, states)
	})
}

func TestRunOverTLS(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	config := certs.TLS.Clone()
	config.NextProtos = nil
	pool := certs.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	certs.Close()

	srv := &http.Server{Handler: middleware.Graceful(d)(ticks(nil)), TLSConfig: config}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ran := make(chan error)
	go func() { ran <- d.Run(ctx, srv, func() error { return srv.ServeTLS(l, "", "") }) }()
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool},
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, "https://"+l.Addr().String(), nil)
	require.NoError(t, err)
	setFields(req, asEventSource)
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, 2, res.ProtoMajor)
	stop()
	body, err := io.ReadAll(res.Body)
	assert.NoError(t, err)
	assert.Contains(t, string(body), "event: shutdown")
	client.CloseIdleConnections()
	assert.NoError(t, <-ran)
}

// Handlers outside of Graceful have the budget's reserve to end, and their connections are closed
// then.
func TestRunClosesHandlersOutsideOfGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		r := serveWrapped(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done() // the close breaks the connection, which ends it
		}))
		got := r.getAsync("/")
		r.drain()
		took, err := r.end()
		assert.NoError(t, err)
		assert.Equal(t, 2*time.Second, took)
		assert.ErrorIs(t, (<-got).err, io.ErrUnexpectedEOF)
	})
}

// Handlers outside of Graceful get only what the drain leaves of the budget.
func TestRunKeepsWithinItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Total: 20 * time.Second}} // 2 s of it in reserve
		mux := http.NewServeMux()
		mux.HandleFunc("/outside", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		mux.Handle("/", middleware.Graceful(d)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(18900 * time.Millisecond)
		})))
		r := serveWrapped(t, d, mux)
		outside, inside := r.getAsync("/outside"), r.getAsync("/")
		r.drain()
		took, err := r.end()
		assert.NoError(t, err)
		assert.Equal(t, 20*time.Second, took)
		assert.Error(t, (<-outside).err)
		<-inside
	})
}

// A connection on which no request has come is closed at once: http.Server.Shutdown would wait for
// it.
func TestConnectionWithoutARequestHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, busy())
		c, err := r.net.Dial(context.Background(), "", "")
		require.NoError(t, err)
		defer c.Close()
		time.Sleep(time.Second)
		r.drain()
		r.endsAfter(0) // http.Server.Shutdown alone takes more than five seconds for it
	})
}

// A connection that was accepted just before the end has 100 ms for its first request: a client
// that was about to send it may not notice that it was closed.
func TestFirstRequestAtTheEndIsAnswered(t *testing.T) {
	for name, after := range map[string]time.Duration{"in time": 90 * time.Millisecond, "too late": 110 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{}, busy())
				c, err := r.net.Dial(context.Background(), "", "")
				require.NoError(t, err)
				defer c.Close()
				answer := make(chan string)
				go func() {
					time.Sleep(after)
					_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: memory\r\n\r\n")
					b, _ := io.ReadAll(c)
					answer <- string(b)
				}()
				r.drain()
				r.endsAfter(min(after, 100*time.Millisecond))
				if after < 100*time.Millisecond {
					assert.Regexp(t, `^HTTP/1.1 503 `, <-answer)
				} else {
					assert.Empty(t, <-answer)
				}
			})
		})
	}
}
