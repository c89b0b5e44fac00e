package middleware_test

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A proxy panics when its upstream breaks off. A stream that got its farewell ends in order all the
// same; a finite body stays broken off.
func TestReverseProxyWhoseUpstreamBreaksOff(t *testing.T) {
	for path, c := range map[string]struct {
		clean bool
		end   func(middleware.Report) uint64
	}{"/stream": {true, told}, "/finite": {false, wasCut}} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mux := http.NewServeMux()
				mux.HandleFunc("/stream", ticks(nil))
				mux.HandleFunc("/finite", func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, "half")
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				})
				back := memnet.New()
				upstream := &http.Server{Handler: mux}
				served := make(chan error)
				go func() { served <- upstream.Serve(back) }()
				proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "memory"})
				transport := &http.Transport{DialContext: back.Dial}
				proxy.Transport = transport

				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Timeout: time.Second}}, proxy)
				got := r.getAsync(path)
				r.drain()
				_, err := r.end()
				assert.NoError(t, err)
				a := <-got
				if c.clean {
					assert.NoError(t, a.err)
					assert.Contains(t, a.body, "event: shutdown\n")
				} else {
					assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
				}
				assert.EqualValues(t, 1, c.end(r.d.Report()))
				transport.CloseIdleConnections()
				upstream.Close()
				<-served
			})
		})
	}
}
