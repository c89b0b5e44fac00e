package middleware_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// Streams in other formats end at a boundary of their own, with a last word if
// their rule has one.
func TestOtherStreamsEndAtTheirBoundary(t *testing.T) {
	const json, mixed = "application/x-ndjson", "multipart/x-mixed-replace; boundary=b"
	for name, c := range map[string]struct {
		contentType string
		parts       []string // a second apart; the drain begins after the first
		message     string
		want        string
	}{
		"lines":                       {json, []string{"{}\n{", "}\n{}\n"}, "", "{}\n{}\n"},
		"lines and a last one":        {json, []string{"{}\n{", "}\n{}\n"}, `{"bye":{retry}}`, "{}\n{}\n{\"bye\":2000}\n"},
		"between lines":               {json, []string{"{}\n", "{}\n"}, "bye", "{}\nbye\n"},
		"a line that never ends":      {json, []string{"{}\n{", "}"}, "bye", "{}\n{}"},
		"parts":                       {mixed, []string{"--b\r\n\r\n1", "\r\n--b\r\n\r\n2\r\n"}, "", "--b\r\n\r\n1\r\n--b--\r\n"},
		"parts and a last one":        {mixed, []string{"--b\r\n\r\n1\r\n", "--b\r\n\r\n2\r\n"}, "\r\nbye", "--b\r\n\r\n1\r\n--b\r\n\r\nbye\r\n--b--\r\n"},
		"compressed lines":            {json + " ", []string{"\n", "\n"}, "bye", "\n\n"},
		"lines, encoded as they are":  {json, []string{"{}\n", "{}\n"}, "bye", "{}\nbye\n"},
		"of a type that says nothing": {"multipart/x-mixed-replace", []string{"1", "2"}, "bye", "12"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{
					Reconnect: policy.Window{Min: 2 * time.Second, Max: 2 * time.Second},
					Farewell:  policy.Farewell{Message: c.message},
				}}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", c.contentType)
					if strings.HasPrefix(name, "compressed") {
						w.Header().Set("Content-Encoding", "br")
					}
					if strings.HasSuffix(name, "as they are") {
						w.Header().Set("Content-Encoding", "identity")
					}
					for _, p := range c.parts {
						_, err := io.WriteString(w, p)
						assert.NoError(t, err)
						w.(http.Flusher).Flush()
						time.Sleep(time.Second)
					}
					<-r.Context().Done()
				}))
				got := r.later("/")
				r.drain()
				report := r.ended(3 * time.Second)
				a := <-got
				assert.NoError(t, a.err)
				assert.Equal(t, c.want, a.body)
				whole := c.want != strings.Join(c.parts, "")
				assert.Equal(t, whole, report.Told == 1, "%+v", report)
			})
		})
	}
}

// A handler can say goodbye in its own words, with its client's slot in them.
func TestHandlersOwnFarewell(t *testing.T) {
	for name, c := range map[string]struct {
		own  policy.Farewell
		text string
		code int
		log  string
	}{
		"its own message":    {policy.Farewell{Message: "bye {retry}"}, "bye 2000", 4000, ""},
		"its own code":       {policy.Farewell{Code: 4001}, "rule", 4001, ""},
		"one that can't be":  {policy.Farewell{Code: 1006, Message: "bye"}, "rule", 4000, "close code 1006 may not be sent"},
		"nothing of its own": {policy.Farewell{}, "rule", 4000, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				d := &middleware.Drainer{
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Policy: policy.Rule{
						Reconnect: policy.Window{Min: 2 * time.Second, Max: 2 * time.Second},
						Farewell:  policy.Farewell{Code: 4000, Message: "rule"},
					},
				}
				s := &store{t: t}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					stream.OnFarewell(req.Context(), func(retry time.Duration) policy.Farewell {
						assert.Equal(t, 2*time.Second, retry)
						return c.own
					})
					echo(s)(w, req)
				}))
				r.store = s
				conn := r.dial("/")
				r.drain()
				kind, p, err := conn.ReadMessage()
				require.NoError(t, err)
				assert.Equal(t, c.text, string(p))
				assert.Equal(t, websocket.TextMessage, kind)
				_, _, err = conn.ReadMessage()
				assert.Equal(t, c.code, closeOf(t, err).Code)
				r.ended(0)
				if c.log == "" {
					assert.NotContains(t, log.String(), "level=WARN")
				} else {
					assert.Contains(t, log.String(), c.log)
				}
			})
		})
	}
}

// Many Writes, many ways to cut them: a farewell in the middle of the handler's
// output never tears an event, and nothing of the handler's comes after it.
func TestFarewellAnywhere(t *testing.T) {
	const event = "id: 7\nevent: e\ndata: a\ndata: b\n\n"
	body := strings.Repeat(event, 3)
	for size := 1; size <= len(body); size += 5 {
		for wait := range 3 {
			t.Run(fmt.Sprint("size ", size, " after ", wait), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: time.Duration(wait)*80*time.Millisecond + 5*time.Millisecond}},
						http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							w.Header().Set("Content-Type", "text/event-stream")
							for rest := body; rest != ""; {
								n := min(size, len(rest))
								_, _ = io.WriteString(w, rest[:n])
								w.(http.Flusher).Flush()
								rest = rest[n:]
								time.Sleep(10 * time.Millisecond)
							}
						}))
					got := r.later("/")
					r.drain()
					_, err := r.end()
					assert.NoError(t, err)
					a := <-got
					assert.NoError(t, a.err)
					events, _, told := strings.Cut(a.body, "retry:")
					if told {
						assert.Zero(t, len(events)%len(event), "torn: %q", a.body)
						assert.Regexp(t, `^ \d+\nevent: shutdown\ndata: .*\n\n$`, strings.TrimPrefix(a.body, events+"retry:"))
					}
					assert.True(t, strings.HasPrefix(body, events))
				})
			})
		}
	}
}

// With Timeout AtOnce the cancel would come in the middle of the event, line or part
// that the farewell waits for, as behind a proxy: it lets that end first.
func TestFarewellAtOnceInTheMiddle(t *testing.T) {
	for name, c := range map[string]struct {
		contentType string
		parts       [2]string
		want        string
	}{
		"of an event": {"text/event-stream", [2]string{"data: a\n", "\n"}, `^data: a\n\nretry: \d+\nevent: shutdown\n`},
		"of a line":   {"application/x-ndjson", [2]string{`{"a":`, "1}\n"}, `^{"a":1}\nbye\n$`},
		"of a part": {
			"multipart/x-mixed-replace; boundary=b", [2]string{"--b\r\n\r\n1", "\r\n--b\r\n"},
			`^--b\r\n\r\n1\r\n--b\r\n\r\nbye\r\n--b--\r\n$`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rule := policy.Rule{Timeout: policy.AtOnce, Farewell: policy.Farewell{Message: "bye"}}
				if strings.HasSuffix(name, "part") {
					rule.Farewell.Message = "\r\nbye"
				}
				r := serve(t, &middleware.Drainer{Policy: rule}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", c.contentType)
					for _, part := range c.parts {
						if r.Context().Err() != nil {
							return
						}
						_, _ = io.WriteString(w, part)
						w.(http.Flusher).Flush()
						time.Sleep(300 * time.Millisecond)
					}
					<-r.Context().Done()
				}))
				got := r.later("/")
				r.drain()
				report := r.ended(600 * time.Millisecond)
				assert.Regexp(t, c.want, (<-got).body)
				assert.EqualValues(t, 1, report.Told)
			})
		})
	}
}

// A stream that shows itself only after the drain has begun still has its turn:
// what it was told as a finite response is taken back.
func TestLateStreamHearsItsOwnTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond) // for the drain to hear of it
			<-stream.Draining(r.Context())
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(time.Second)
		assert.Contains(t, (<-got).body, "event: shutdown")
		assert.EqualValues(t, 1, report.Told)
	})
}
