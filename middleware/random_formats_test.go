package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A numbered is a format whose units a handler numbers, so that a client sees which are missing.
type numbered struct {
	contentType string // empty: it is hijacked for
	unit        func(i int) string
	farewell    string // a regular expression
}

var numberedFormats = map[string]numbered{
	"/events": {"text/event-stream", func(i int) string { return fmt.Sprintf("id: %d\ndata: x\n\n", i) }, `retry: \d+\nevent: shutdown\ndata: .*\n\n`},
	"/lines":  {"application/x-ndjson", func(i int) string { return fmt.Sprintf("%d\n", i) }, `goodbye\n`},
	"/parts":  {"multipart/x-mixed-replace; boundary=b", func(i int) string { return fmt.Sprintf("--b\r\n\r\n%d\r\n", i) }, `--b\r\ngoodbye\r\n--b--\r\n`},
	"/ws":     {"", func(i int) string { return fmt.Sprintf("\x81\x08%08d", i) }, `(..goodbye)?.{2,4}goodbye`},
	"/raw":    {"", func(i int) string { return fmt.Sprintf("<%d>", i) }, `none`},
}

// inPieces writes units to w, cut anywhere, several of them at once, as a proxy does.
func inPieces(ctx context.Context, dice *dice, w io.Writer, f numbered, flush func()) error {
	var left string
	for i := 0; ; {
		for range dice.of(4) {
			left += f.unit(i)
			i++
		}
		n := dice.of(len(left) + 1)
		if dice.of(3) == 0 {
			n = len(left)
		}
		if _, err := io.WriteString(w, left[:n]); err != nil {
			return err
		}
		left = left[n:]
		if dice.of(3) > 0 {
			flush()
		}
		wait := time.NewTimer(dice.moment() / 20)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		switch dice.of(40) {
		case 0:
			return nil
		case 1, 2, 3:
			stream.Tag(ctx, policy.Kind(dice.of(3)))
		}
	}
}

func restlessNumbers(dice *dice) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := numberedFormats[r.URL.Path]
		if f.contentType != "" {
			w.Header().Set("Content-Type", f.contentType)
			w.Header().Set("X-Numbers", "yes")
			_ = inPieces(r.Context(), dice, w, f, w.(http.Flusher).Flush)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(io.Discard, conn)
		}()
		_ = inPieces(r.Context(), dice, conn, f, func() {})
		if r.URL.Path == "/raw" || dice.of(2) == 0 {
			conn.Close()
		}
		<-done
	}
}

// Whatever a stream speaks, however its handler cuts what it writes, and whoever drains, resumes
// and sheds meanwhile: its client gets each unit, in order and whole, up to the farewell, and
// nothing behind that.
func TestRandomWritesInAllFormats(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			dice := &dice{Rand: rand.New(rand.NewPCG(seed, 3))}
			d := &middleware.Drainer{
				Policy: policy.Rule{
					Kind:  policy.Infinite,
					Grace: dice.moment() / 2, Spread: dice.moment() / 2, Mercy: time.Second,
					Timeout:  []time.Duration{policy.AtOnce, time.Second, 3 * time.Second}[dice.of(3)],
					MaxAge:   time.Duration(dice.of(2)) * 4 * time.Second,
					Farewell: policy.Farewell{Code: 4001, Reason: "goodbye", Message: "goodbye"},
				},
				Budget: policy.Budget{Total: 20 * time.Second},
			}
			r := serve(t, d, restlessNumbers(dice))
			serving, stop := context.WithCancel(context.Background())
			var mu sync.Mutex
			var told, toldBroken, broken uint64
			var all sync.WaitGroup
			for path, f := range numberedFormats {
				for range 4 {
					all.Go(func() {
						for serving.Err() == nil {
							time.Sleep(dice.moment())
							c, err := r.net.Dial(context.Background(), "", "")
							if err != nil {
								return
							}
							upgrade := ""
							switch path {
							case "/ws":
								upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
							case "/raw":
								upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
							}
							clean := f.contentType == "" || dice.of(2) == 0
							if clean && f.contentType != "" { // as an EventSource
								upgrade += "Accept: text/event-stream\r\nCache-Control: no-cache\r\n"
							}
							if _, err = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: memory\r\n"+upgrade+"\r\n"); err != nil {
								c.Close()
								return
							}
							br := bufio.NewReader(c)
							res, err := http.ReadResponse(br, nil)
							if err != nil {
								c.Close()
								continue
							}
							var body []byte
							var end error
							if res.StatusCode == http.StatusSwitchingProtocols {
								var seen bytes.Buffer
								buf := make([]byte, 1+dice.of(100))
								for end == nil {
									var n int
									n, end = br.Read(buf)
									seen.Write(buf[:n])
									if bytes.HasSuffix(seen.Bytes(), []byte("\x0f\xa1goodbye")) {
										_, _ = io.WriteString(c, answer4001)
									}
								}
								if end == io.EOF {
									end = nil
								}
								body = seen.Bytes()
							} else {
								body, end = io.ReadAll(res.Body)
							}
							c.Close()
							if res.StatusCode == http.StatusServiceUnavailable || res.Header.Get("X-Numbers") == "" && f.contentType != "" {
								continue // refused, or told to come back before its handler wrote anything
							}
							rest := string(body)
							for i := 0; strings.HasPrefix(rest, f.unit(i)); i++ {
								rest = rest[len(f.unit(i)):]
							}
							isFarewell, _ := regexp.MatchString("(?s)^"+f.farewell+"$", strings.ToValidUTF8(rest, "."))
							whole := strings.HasPrefix(f.unit(1234567), rest) || len(rest) < len(f.unit(0))+8
							assert.True(t, isFarewell || whole, "seed %d %s: %q", seed, path, rest)
							mu.Lock()
							if isFarewell {
								told++
								if clean {
									assert.NoError(t, end, "seed %d %s", seed, path)
								} else {
									toldBroken++
									assert.ErrorIs(t, end, io.ErrUnexpectedEOF, "seed %d %s", seed, path)
								}
							} else if end != nil && path != "/lines" { // a line that was cut short never looks whole
								broken++
							}
							mu.Unlock()
							if t.Failed() {
								return
							}
						}
					})
				}
			}
			all.Go(func() {
				for serving.Err() == nil {
					time.Sleep(2 * dice.moment())
					if dice.of(2) == 0 {
						d.Drain()
						time.Sleep(dice.moment())
						_ = d.Resume()
						continue
					}
					ctx, cancel := context.WithTimeout(serving, 2*dice.moment())
					_, _ = d.Shed(ctx, middleware.ShedOptions{Fraction: 0.5, Rule: policy.Rule{Spread: dice.moment()}})
					cancel()
				}
			})
			time.Sleep(20 * time.Second)
			stop()
			time.Sleep(dice.moment())
			_ = d.Shutdown(context.Background())
			_, err := r.end()
			assert.NoError(t, err, "seed %d", seed)
			all.Wait()
			report := d.Report()
			assert.Zero(t, report.Open)
			assert.EqualValues(t, told, report.Told+report.Unanswered+report.Before.Told+report.Before.Unanswered, "seed %d: %+v", seed, report)
			assert.EqualValues(t, toldBroken, report.Broken+report.Before.Broken, "seed %d: %+v", seed, report)
			assert.LessOrEqual(t, broken, report.Cut+report.Before.Cut, "seed %d: %+v", seed, report)
		})
		if t.Failed() {
			return
		}
	}
}
