package status_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/status"
	"github.com/lastcall-go/lastcall/policy"
)

func withToken(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer secret" }

func post(h http.Handler, target string, form url.Values, header ...string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	h.ServeHTTP(w, r)
	return w
}

// Nobody commands the drain who isn't asked for: missing and wrong callers, and pages of other
// origins, even with the right credentials.
func TestOnlyTheRightCallersCommand(t *testing.T) {
	d := new(middleware.Drainer)
	for name, h := range map[string]http.Handler{"Control": status.Control(d, withToken), "PreStop": status.PreStop(d, withToken)} {
		drain := url.Values{"action": {"drain"}}
		for why, header := range map[string][]string{
			"no token":            {},
			"a wrong token":       {"Authorization", "Bearer wrong"},
			"another site":        {"Authorization", "Bearer secret", "Sec-Fetch-Site", "cross-site"},
			"another origin":      {"Authorization", "Bearer secret", "Origin", "https://evil.example"},
			"a sandboxed page":    {"Authorization", "Bearer secret", "Origin", "null"},
			"a sibling's subsite": {"Authorization", "Bearer secret", "Sec-Fetch-Site", "same-site"},
		} {
			assert.Equal(t, 403, post(h, "/", drain, header...).Code, "%s: %s", name, why)
		}
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/?action=drain", nil)
		r.Header.Set("Authorization", "Bearer secret")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		h.ServeHTTP(w, r)
		assert.Contains(t, []int{403, 405}, w.Code, "%s: an image on another site", name)
		w, r = httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "/?action=drain", nil)
		r.Header.Set("Authorization", "Bearer secret")
		h.ServeHTTP(w, r)
		assert.Equal(t, 405, w.Code, name)
	}
	assert.Equal(t, middleware.Serving, d.Report().Phase)
	assert.Panics(t, func() { status.Control(d, nil) })
	assert.Panics(t, func() { status.PreStop(d, nil) })
	require.NoError(t, d.Shutdown(t.Context()))
}

func TestControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
		h := status.Control(d, withToken)
		c := streams(d, nil)
		for range 4 {
			c.open(httptest.NewRequest(http.MethodGet, "/rooms/1", nil))
		}
		command := func(pairs ...string) (int, string) {
			form := url.Values{}
			for i := 0; i+1 < len(pairs); i += 2 {
				form.Set(pairs[i], pairs[i+1])
			}
			w := post(h, "/", form, "Authorization", "Bearer secret", "Sec-Fetch-Site", "same-origin")
			return w.Code, w.Body.String()
		}
		for _, wrong := range [][]string{
			{"action", "stop"}, {"action", "shed"}, {"action", "shed", "fraction", "2"}, {"action", "shed", "n", "x"}, {"action", "shed", "n", "1", "spread", "-1s"},
		} {
			code, text := command(wrong...)
			assert.Equal(t, 400, code, text)
		}
		code, text := command("action", "shed", "fraction", "0.5", "spread", "1s")
		assert.Equal(t, 200, code)
		assert.Contains(t, text, `"Picked":2,`)
		assert.Equal(t, 2, d.Report().Open.SSE)
		code, _ = command("action", "drain")
		assert.Equal(t, 200, code)
		synctest.Wait()
		assert.NotEqual(t, middleware.Serving, d.Report().Phase)
		code, _ = command("action", "resume")
		assert.Equal(t, 200, code)
		assert.Equal(t, middleware.Serving, d.Report().Phase)
		require.NoError(t, d.Shutdown(t.Context()))
		code, text = command("action", "resume")
		assert.Equal(t, 409, code)
		assert.Contains(t, text, "final")
		code, _ = command("action", "shed", "n", "1")
		assert.Equal(t, 409, code)
		c.all.Wait()
	})
}

// A preStop hook is answered when the drain is over, mounted inside of Graceful or outside, and the
// server ends without waiting for it.
func TestPreStop(t *testing.T) {
	for name, inside := range map[string]bool{"inside of Graceful": true, "outside": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
				inner, outer := http.NewServeMux(), http.NewServeMux()
				inner.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { time.Sleep(3 * time.Second) })
				outer.Handle("/", middleware.Graceful(d)(inner))
				if inside {
					inner.Handle("/prestop", status.PreStop(d, withToken))
				} else {
					outer.Handle("/prestop", status.PreStop(d, withToken))
				}
				net := memnet.New()
				srv := &http.Server{Handler: outer}
				ctx, term := context.WithCancelCause(t.Context())
				ran := make(chan error, 1)
				go func() { ran <- d.Run(ctx, srv, func() error { return srv.Serve(net) }) }()
				client := &http.Client{Transport: &http.Transport{DialContext: net.Dial}}
				slow := make(chan int, 1)
				go func() {
					res, err := client.Get("http://memory/slow")
					assert.NoError(t, err)
					res.Body.Close()
					slow <- res.StatusCode
				}()
				synctest.Wait()
				began := time.Now()
				req, err := http.NewRequest(http.MethodGet, "http://memory/prestop", nil)
				require.NoError(t, err)
				req.Header.Set("Authorization", "Bearer secret")
				res, err := client.Do(req)
				require.NoError(t, err)
				text, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				res.Body.Close()
				assert.Equal(t, 200, res.StatusCode)
				assert.Contains(t, string(text), "drain done in 3s")
				assert.InDelta(t, 3*time.Second, time.Since(began), float64(20*time.Millisecond))
				assert.Equal(t, 200, <-slow)
				term(errors.New("received signal: terminated"))
				assert.NoError(t, <-ran)
				assert.InDelta(t, 3*time.Second, time.Since(began), float64(20*time.Millisecond))
				client.CloseIdleConnections()
			})
		})
	}
}
