package middleware_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Each rows are written half a second apart, whatever the context says.
func rows(w http.ResponseWriter, n int, format string) {
	for i := range n {
		_, _ = fmt.Fprintf(w, format, i)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(100 * time.Millisecond)
	}
}

// What answers a POST ends by itself, and so do lines of JSON, whatever their content type says.
func TestAnswersThatLookLikeStreamsAreLeftToComplete(t *testing.T) {
	for name, c := range map[string]struct{ method, contentType, row, disposition string }{
		"events over POST":       {http.MethodPost, "text/event-stream", "data: %d\n\n", ""},
		"events over PUT":        {http.MethodPut, "text/event-stream", "data: %d\n\n", ""},
		"lines over GET":         {http.MethodGet, "application/x-ndjson", "%d\n", ""},
		"lines over POST":        {http.MethodPost, "application/x-ndjson", "%d\n", ""},
		"lines as an attachment": {http.MethodGet, "application/jsonl", "%d\n", "attachment"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", c.contentType)
					if c.disposition != "" {
						w.Header().Set("Content-Disposition", c.disposition)
					}
					rows(w, 50, c.row)
				}))
				req, err := http.NewRequest(c.method, "http://memory/", nil)
				require.NoError(t, err)
				res, err := r.client.Do(req)
				require.NoError(t, err)
				time.Sleep(500 * time.Millisecond)
				r.drain()
				body, err := io.ReadAll(res.Body)
				assert.NoError(t, err)
				assert.Equal(t, 50, strings.Count(string(body), strings.TrimRight(c.row[strings.Index(c.row, "%d")+2:], "")))
				assert.NotContains(t, string(body), "shutdown")
				report := r.endsAfter(4900 * time.Millisecond)
				assert.EqualValues(t, 1, report.Completed, "%+v", report)
			})
		})
	}
}

// Whoever isn't an EventSource is broken off behind the farewell, no sooner than 200 ms after it,
// since it would take a clean end for the last word, unless its rule says how it ends, or it is
// told to stay away.
func TestStreamsEndAsBringsTheirClientBack(t *testing.T) {
	goClient := []string{"Accept", "text/event-stream", "Cache-Control", "no-cache"} // with Go's own User-Agent, as r3labs
	fetched := []string{"Accept", "text/event-stream", "User-Agent", "fetch"}
	datastar := []string{"Accept", "text/event-stream, text/html, application/json", "User-Agent", "fetch", "Cache-Control", "no-cache"}
	for name, c := range map[string]struct {
		client []string
		rule   policy.Rule
		broken bool
		took   time.Duration
	}{
		"an EventSource":                {asEventSource, policy.Rule{}, false, 250 * time.Millisecond},
		"an EventSource, at once":       {asEventSource, policy.Rule{Timeout: policy.AtOnce}, false, 0},
		"r3labs's client":               {goClient, policy.Rule{}, true, 250 * time.Millisecond},
		"r3labs's client, at once":      {goClient, policy.Rule{Timeout: policy.AtOnce}, true, 200 * time.Millisecond},
		"r3labs's client, soon cut":     {goClient, policy.Rule{Timeout: 10 * time.Millisecond, Mercy: 10 * time.Millisecond}, true, 200 * time.Millisecond},
		"a fetch":                       {fetched, policy.Rule{}, true, 250 * time.Millisecond},
		"Datastar":                      {datastar, policy.Rule{}, true, 250 * time.Millisecond},
		"nothing said":                  {nil, policy.Rule{}, true, 250 * time.Millisecond},
		"by rule clean":                 {fetched, policy.Rule{Ending: policy.CleanEnding}, false, 250 * time.Millisecond},
		"an EventSource by rule broken": {asEventSource, policy.Rule{Ending: policy.BrokenEnding}, true, 250 * time.Millisecond},
		"told to stay away":             {fetched, policy.Rule{Farewell: policy.StayAway()}, false, 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{Policy: c.rule}, http.HandlerFunc(quiet))
				end := make(chan error, 1)
				var text string
				res := r.get("/", c.client...)
				assert.False(t, res.Close, "Node's fetch hides a break behind Connection: close")
				go func() {
					body, err := io.ReadAll(res.Body)
					text = strings.TrimPrefix(string(body), hello)
					end <- err
				}()
				r.drain()
				report := r.endsAfter(c.took)
				err := <-end
				assert.Regexp(t, `^retry: \d+\nevent: shutdown\ndata: .*\n\n$`, text)
				assert.EqualValues(t, 1, report.Told)
				if c.broken {
					assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
					assert.EqualValues(t, 1, report.Broken)
				} else {
					assert.NoError(t, err)
					assert.Zero(t, report.Broken)
				}
			})
		})
	}
}

// Who is in a hurry doesn't wait for the 200 ms.
func TestCloseBreaksOffAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}, http.HandlerFunc(quiet))
		res := r.get("/", "Accept", "text/event-stream", "User-Agent", "fetch")
		end := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, res.Body)
			end <- err
		}()
		r.drain()
		time.Sleep(50 * time.Millisecond)
		assert.NoError(t, r.d.Close())
		assert.ErrorIs(t, <-end, io.ErrUnexpectedEOF)
		report := r.endsAfter(50 * time.Millisecond)
		assert.EqualValues(t, 1, report.Broken, "%+v", report)
	})
}

// A late stream request is never told no: an EventSource gets a clean end, all others a break.
func TestLateStreamsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, busy())
		going := r.getAsync("/busy")
		r.drain()
		a := <-r.getAsync("/late")
		assert.NoError(t, a.err)
		assert.Equal(t, http.StatusOK, a.StatusCode)
		a = <-r.getAsyncWith("/late", "Accept", "text/event-stream, text/html, application/json")
		assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
		assert.Equal(t, http.StatusOK, a.StatusCode)
		assert.Regexp(t, `^retry: \d+\n\n$`, a.body)
		req, err := http.NewRequest(http.MethodPost, "http://memory/late", nil)
		require.NoError(t, err)
		setFields(req, asEventSource)
		res, err := r.client.Do(req)
		require.NoError(t, err)
		res.Body.Close()
		assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode, "never an empty 200: a POST's client takes it for an empty answer")
		assert.NotEmpty(t, res.Header.Get("Retry-After"))
		r.endsAfter(10 * time.Second)
		<-going
	})
}

// A rule can leave the event out, or all of the farewell, for clients that parse every event as
// their own.
func TestFarewellOfRetryAloneOrNothing(t *testing.T) {
	for send, want := range map[policy.Send]string{policy.SendRetry: `^retry: \d+\n\n$`, policy.SendNothing: `^$`} {
		t.Run(fmt.Sprint(send), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Farewell: policy.Farewell{Send: send}}}, http.HandlerFunc(quiet))
				end := r.watch("/")
				r.drain()
				report := r.endsAfter(250 * time.Millisecond)
				e := <-end
				assert.NoError(t, e.err)
				assert.Regexp(t, want, e.text)
				if send == policy.SendNothing {
					assert.EqualValues(t, 1, report.Canceled)
				} else {
					assert.EqualValues(t, 1, report.Told)
				}
			})
		})
	}
}

// A handler that can't know of its cancel, and ends by itself within the mercy, has written all.
// One that has looked at its context may have broken off because of it.
func TestWholeIsWhatTheHandlerFinished(t *testing.T) {
	rule := policy.Rule{Grace: 250 * time.Millisecond, Mercy: 5 * time.Second}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		whole   bool
		outcome func(middleware.Report) uint64
	}{
		"ignores its context": {func(w http.ResponseWriter, _ *http.Request) { rows(w, 10, "%d\n") }, true, completed},
		"looks at its context and goes on": {func(w http.ResponseWriter, r *http.Request) {
			rows(w, 10, "%d\n")
			assert.Error(t, r.Context().Err())
		}, false, wasCut},
		"looks at a context made from it": {func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			rows(w, 10, "%d\n")
			assert.Error(t, ctx.Err())
		}, false, wasCut},
		"asks for the cause": {func(w http.ResponseWriter, r *http.Request) {
			rows(w, 10, "%d\n")
			assert.Error(t, context.Cause(r.Context()))
		}, false, wasCut},
		"panics": {func(w http.ResponseWriter, _ *http.Request) {
			rows(w, 10, "%d\n")
			panic(http.ErrAbortHandler)
		}, false, wasCut},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{Policy: rule}, c.handler)
				got := r.getAsyncWith("/")
				r.drain()
				_, err := r.end()
				assert.NoError(t, err)
				a := <-got
				if c.whole {
					assert.NoError(t, a.err)
					assert.Equal(t, 10, strings.Count(a.body, "\n"))
				} else {
					assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
				}
				report := r.d.Report()
				assert.EqualValues(t, 1, c.outcome(report), "%+v", report)
			})
		})
	}
}

// An echo whose reads the cancel ends has not written all, though its handler returns.
func TestAnEchoWhoseReadsTheCancelEndsIsNotWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, http.NewResponseController(w).EnableFullDuplex())
			_, _ = io.WriteString(w, "first ")
			w.(http.Flusher).Flush()
			_, _ = io.Copy(w, r.Body)
		}))
		upload, rest := io.Pipe()
		defer rest.Close()
		res, err := r.client.Post("http://memory/", "text/plain", upload)
		require.NoError(t, err)
		r.drain()
		report := r.endsAfter(time.Second)
		_, err = io.ReadAll(res.Body)
		assert.Error(t, err)
		assert.EqualValues(t, 1, report.Cut, "%+v", report)
	})
}

// A compressed event stream gets no farewell, also behind a proxy, but the ending of one. So does
// one over POST that a rule says is endless.
func TestCompressedStreamsEndAsOthersDo(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		client []string
		clean  bool
	}{
		"an EventSource":                     {http.MethodGet, asEventSource, true},
		"a fetch":                            {http.MethodGet, []string{"Accept", "text/event-stream", "User-Agent", "fetch"}, false},
		"a fetch by POST":                    {http.MethodPost, []string{"Accept", "text/event-stream", "User-Agent", "fetch"}, false},
		"of MCP":                             {http.MethodPost, []string{"Accept", "application/json, text/event-stream", "Mcp-Protocol-Version", "2025-11-25"}, true},
		"a POST that doesn't ask for events": {http.MethodPost, []string{"Accept", "*/*"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					w.Header().Set("Content-Encoding", "gzip")
					z := gzip.NewWriter(w)
					_, _ = io.WriteString(z, "data: 1\n\n")
					_ = z.Flush()
					w.(http.Flusher).Flush()
					<-r.Context().Done()
					panic(http.ErrAbortHandler) // as a proxy does whose back end is canceled
				}))
				req, err := http.NewRequest(c.method, "http://memory/", nil)
				require.NoError(t, err)
				setFields(req, append(c.client, "Accept-Encoding", "gzip"))
				end := make(chan error)
				go func() {
					res, err := r.client.Do(req)
					if err == nil {
						defer res.Body.Close()
						_, err = io.ReadAll(res.Body)
					}
					end <- err
				}()
				r.drain()
				report := r.endsAfter(250 * time.Millisecond)
				err = <-end
				assert.EqualValues(t, 1, report.Canceled, "%+v", report)
				if c.clean {
					assert.NoError(t, err)
				} else {
					assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
				}
			})
		})
	}
}

// A panic behind the farewell breaks the connection, and the report says so.
func TestPanicBehindTheFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			quiet(w, r)
			panic("mine")
		}))
		end := r.watch("/")
		r.drain()
		report := r.endsAfter(250 * time.Millisecond)
		assert.ErrorIs(t, (<-end).err, io.ErrUnexpectedEOF)
		assert.EqualValues(t, 1, report.Told)
		assert.EqualValues(t, 1, report.Broken)
	})
}

// A handler calls another one with its own request, to see what it answers: the inner route's rule
// is not the outer response's.
func TestARecorderInsideIsAResponseOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		inner := middleware.Graceful(d, policy.Rule{Kind: policy.Infinite})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "inner")
		}))
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			inner.ServeHTTP(rec, r)
			time.Sleep(time.Second)
			_ = json.NewEncoder(w).Encode(rec.Body.String())
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(time.Second)
		assert.Equal(t, "\"inner\"\n", (<-got).body)
		assert.EqualValues(t, 1, report.Completed, "%+v", report)
	})
}

// A writer in between that has only Flush loses the error of a farewell to a client that has left.
func TestFarewellToAClientThatLeftThroughAWriterThatLosesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, Timeout: 10 * time.Second}}
		g := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Second) // it notices nothing
		}))
		r := serveWrapped(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g.ServeHTTP(flushOnly{w, w.(http.Flusher)}, r)
		}))
		res := r.open("/")
		synctest.Wait()
		require.NoError(t, res.Body.Close())
		r.client.CloseIdleConnections()
		synctest.Wait()
		r.drain()
		_, err := r.end()
		assert.NoError(t, err)
		report := d.Report()
		assert.Zero(t, report.Told, "%+v", report)
	})
}

type flushOnly struct {
	http.ResponseWriter
	http.Flusher
}

// The log says once per route where a kind was probably taken wrongly, and the report counts it.
func TestHintsAtAWrongKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		d := &middleware.Drainer{Policy: policy.Rule{Grace: 500 * time.Millisecond, Timeout: 10 * time.Second}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /watch", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "{}\n")
				w.(http.Flusher).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		})
		mux.HandleFunc("GET /answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			rows(w, 20, "data: %d\n\n")
		})
		r := serve(t, d, mux)
		var got []<-chan answer
		for range 2 {
			got = append(got, r.getAsync("/watch"), r.getAsync("/answer"))
		}
		r.drain()
		_, err := r.end()
		assert.NoError(t, err)
		for _, c := range got {
			<-c
		}
		report := d.Report()
		assert.Equal(t, 2, report.Streaming)
		assert.Equal(t, 2, report.Swallowed)
		assert.Equal(t, 1, strings.Count(log.String(), "give it Kind: Infinite\" route=\"GET /watch\""), log.String())
		assert.Equal(t, 1, strings.Count(log.String(), "give it Kind: Finite\" route=\"GET /answer\" swallowed="), log.String())
	})
}
