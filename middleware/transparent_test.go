package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
)

// anyResponse is a handler that does what the seed in its path says.
func anyResponse(file string, results *strings.Builder) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var seed uint64
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &seed)
		dice := rand.New(rand.NewPCG(seed, 4))
		note := func(what string, n any, err error) { fmt.Fprintln(results, what, n, err) }
		for range dice.IntN(8) {
			switch dice.IntN(14) {
			case 0:
				w.Header().Set("Content-Type", []string{"text/event-stream", "text/plain", "application/x-ndjson", "multipart/x-mixed-replace; boundary=b"}[dice.IntN(4)])
			case 1:
				w.Header().Set("Content-Length", []string{"0", "5", "10", "5000", "x"}[dice.IntN(5)])
			case 2:
				w.WriteHeader([]int{100, 102, 103, 200, 204, 206, 304, 404, 500}[dice.IntN(9)])
			case 3:
				err := http.NewResponseController(w).Flush()
				note("flush", 0, err)
			case 4:
				w.Header().Set("Trailer", "X-T")
				w.Header().Set("X-T", "t")
			case 5:
				w.Header().Set(http.TrailerPrefix+"X-U", "u")
			case 6:
				f, err := os.Open(file)
				if err != nil {
					panic(err)
				}
				n, err := io.Copy(w, f)
				note("copy", n, err)
				f.Close()
			case 7:
				n, err := io.WriteString(w, strings.Repeat("s", dice.IntN(5000)))
				note("string", n, err)
			case 8:
				n, err := w.Write(nil)
				note("nil", n, err)
			case 9:
				n, err := io.CopyN(w, strings.NewReader("0123456789"), int64(dice.IntN(12)))
				note("copyn", n, err)
			case 10:
				w.Header().Set("Connection", []string{"close", "keep-alive"}[dice.IntN(2)])
			case 11:
				// Over HTTP/1.0 nobody sees that a body was broken off.
				if dice.IntN(3) == 0 && r.ProtoMinor == 1 {
					panic([]any{http.ErrAbortHandler, errors.New("x")}[dice.IntN(2)])
				}
			case 12:
				w.Header()["Date"] = nil
			default:
				n, err := io.WriteString(w, "data: x\n\n")
				note("write", n, err)
			}
		}
	}
}

// Until the drain, a client gets byte by byte what it would get without Graceful, and the handler
// the same results.
func TestAnyResponseIsTransparent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("f", 3000)), 0o600))
	raw := func(seed uint64, wrap func(http.Handler) http.Handler) (got string) {
		synctest.Test(t, func(t *testing.T) {
			var results strings.Builder
			net := memnet.New()
			var logged strings.Builder
			srv := &http.Server{Handler: wrap(anyResponse(file, &results)), ErrorLog: log.New(&logged, "", 0)}
			go func() { _ = srv.Serve(net) }()
			c, err := net.Dial(context.Background(), "", "")
			require.NoError(t, err)
			dice := rand.New(rand.NewPCG(seed, 5))
			method, version := []string{"GET", "HEAD", "POST"}[dice.IntN(3)], 1
			if dice.IntN(4) == 0 {
				version = 0
			}
			body := ""
			if method == "POST" {
				body = "hello"
			}
			go func() {
				_, _ = fmt.Fprintf(c, "%s /%d HTTP/1.%d\r\nHost: memory\r\nContent-Length: %d\r\n\r\n%s", method, seed, version, len(body), body)
			}()
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			b := new(strings.Builder)
			br := bufio.NewReader(c)
			for {
				res, err := http.ReadResponse(br, &http.Request{Method: method})
				if err != nil {
					fmt.Fprintln(b, err)
					break
				}
				text, err := io.ReadAll(res.Body)
				if err != nil {
					text = nil // how much of it comes before the end depends on who buffers what
				}
				text = regexp.MustCompile("(f{9}|s{9})").ReplaceAll(text, []byte("L"))
				fmt.Fprintln(b, res.Status, res.Proto, res.Header, res.ContentLength, res.TransferEncoding, res.Close, string(text), err, res.Trailer)
			}
			c.Close()
			_ = srv.Close()
			synctest.Wait()
			lines := regexp.MustCompile(`(?m)^http: .* from .*$`).FindAllString(logged.String(), -1)
			for i, l := range lines {
				lines[i] = regexp.MustCompile(` from .*`).ReplaceAllString(l, "")
			}
			got = fmt.Sprintf("%s\n%s\n%v", b, results.String(), lines)
		})
		return got
	}
	for seed := range uint64(1000) {
		plain := raw(seed, func(h http.Handler) http.Handler { return h })
		wrapped := raw(seed, middleware.Graceful(&middleware.Drainer{}))
		if !assert.Equal(t, plain, wrapped, "seed %d", seed) {
			return
		}
	}
}
