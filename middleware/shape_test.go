package middleware_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// proxyTo returns a proxy in front of r, and what closes its connections.
func proxyTo(r *rig) (proxy http.Handler, done func()) {
	transport := &http.Transport{DialContext: r.net.Dial, DisableCompression: true}
	p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "memory"})
	p.Transport = transport
	return p, transport.CloseIdleConnections
}

// What a back end's handler tags its response as reaches the proxy in front of it, and each further
// one in front of that, whichever of them drains.
func TestTagReachesEveryProxyInFront(t *testing.T) {
	const servers = 3 // the back end, and two proxies
	for drains := range servers {
		t.Run(fmt.Sprint("server ", drains, " drains"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain := []*rig{serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					stream.Tag(r.Context(), policy.Finite)
					startEvents(w, "data: some\n\n")
					time.Sleep(10 * time.Second)
					_, _ = io.WriteString(w, "data: all\n\n")
				}))}
				kinds := make(chan policy.Kind, servers-1)
				for range servers - 1 {
					proxy, done := proxyTo(chain[len(chain)-1])
					defer done()
					chain = append(chain, serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						defer func() { kinds <- stream.From(r.Context()).Kind() }()
						proxy.ServeHTTP(w, r)
					})))
				}
				got := chain[servers-1].getAsync("/")
				chain[drains].drain()
				a := <-got
				assert.NoError(t, a.err)
				assert.Equal(t, "data: some\n\ndata: all\n\n", a.body)
				assert.Equal(t, []string{"finite"}, a.Header["Lastcall-Kind"], "there may be one more in front")
				for i := range chain {
					_, err := chain[servers-1-i].end()
					require.NoError(t, err)
					synctest.Wait()
				}
				assert.Equal(t, policy.Finite, <-kinds)
				assert.Equal(t, policy.Finite, <-kinds)
				assert.EqualValues(t, 1, chain[drains].d.Report().Completed)
			})
		})
	}
}

// The header is set where the response is of another kind than its media type and method show, and
// a proxy takes it for what they show, so that its own rule and Tag come first.
func TestKindHeader(t *testing.T) {
	const events, json = "text/event-stream", "application/x-ndjson"
	for name, c := range map[string]struct {
		method, contentType string
		said                []string    // by the back end
		rule, tag           policy.Kind // here
		want                policy.Kind
		header              []string // what goes out
	}{
		"an event stream":              {contentType: events, want: policy.Infinite},
		"a page":                       {contentType: "text/html", want: policy.Finite},
		"an answer":                    {contentType: events, said: []string{"finite"}, want: policy.Finite, header: []string{"finite"}},
		"an answer over POST":          {method: "POST", contentType: events, said: []string{"finite"}, want: policy.Finite},
		"a stream over POST":           {method: "POST", contentType: events, said: []string{"infinite"}, want: policy.Infinite, header: []string{"infinite"}},
		"a stream that says so":        {contentType: events, said: []string{"infinite"}, want: policy.Infinite},
		"endless lines":                {contentType: json, said: []string{"infinite"}, want: policy.Infinite, header: []string{"infinite"}},
		"endless parts":                {contentType: "multipart/mixed; boundary=b", said: []string{"infinite"}, want: policy.Infinite, header: []string{"infinite"}},
		"the rule knows better":        {contentType: events, said: []string{"finite"}, rule: policy.Infinite, want: policy.Infinite},
		"the handler knows best":       {contentType: events, said: []string{"infinite"}, rule: policy.Infinite, tag: policy.Finite, want: policy.Finite, header: []string{"finite"}},
		"a rule":                       {contentType: json, rule: policy.Infinite, want: policy.Infinite, header: []string{"infinite"}},
		"a rule for what is no stream": {contentType: "text/html", rule: policy.Infinite, want: policy.Infinite},
		"auto":                         {contentType: events, said: []string{"auto"}, want: policy.Infinite},
		"nothing":                      {contentType: events, said: []string{""}, want: policy.Infinite},
		"another word":                 {contentType: events, said: []string{"Finite "}, want: policy.Infinite},
		"twice":                        {contentType: events, said: []string{"finite", "finite"}, want: policy.Infinite},
		"very long":                    {contentType: events, said: []string{string(make([]byte, 1<<20))}, want: policy.Infinite},
	} {
		t.Run(name, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Kind: c.rule}}
			var kind policy.Kind
			h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				stream.Tag(r.Context(), c.tag)
				w.Header().Set("Content-Type", c.contentType)
				if c.said != nil {
					w.Header()["Lastcall-Kind"] = c.said
				}
				_, _ = io.WriteString(w, "\n")
				kind = stream.From(r.Context()).Kind()
			}))
			method := c.method
			if method == "" {
				method = http.MethodGet
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
			assert.Equal(t, c.want, kind)
			assert.Equal(t, c.header, w.Result().Header["Lastcall-Kind"])
			require.NoError(t, d.Close())
		})
	}
}

// A header without a kindHeader is only read, as by net/http: meanwhile another goroutine of the
// handler's may read it.
func TestHeaderWithoutKindIsOnlyRead(t *testing.T) {
	d := &middleware.Drainer{}
	h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		header.Set("Content-Type", "text/event-stream")
		read := make(chan string)
		go func() { read <- header.Get("Content-Type") }()
		_, _ = io.WriteString(w, "\n") // with -race a write to the header is seen
		assert.Equal(t, "text/event-stream", <-read)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	require.NoError(t, d.Close())
}

// A body's farewell goes where the rule's Format says, whatever the content type, and nowhere where
// it says that nothing is known of the body.
func TestFormatByRule(t *testing.T) {
	const json, events = "application/json", "text/event-stream"
	for name, c := range map[string]struct {
		format      policy.Format
		contentType string
		body        string
		want        string // a regular expression
		speaks      stream.Format
	}{
		"lines":                     {policy.LinesFormat, json, "{}\n", `^{}\nbye\n$`, stream.Lines},
		"lines, encoded":            {policy.LinesFormat, json + "\x00gzip", "{}\n", `^{}\n$`, stream.HTTP},
		"events":                    {policy.EventsFormat, json, "data: 1\n\n", `^data: 1\n\nretry: \d+\nevent: shutdown\n`, stream.SSE},
		"parts":                     {policy.PartsFormat, "multipart/related; boundary=b", "", `^--b\r\nbye\r\n--b--\r\n$`, stream.Parts},
		"parts without a delimiter": {policy.PartsFormat, json, "{}\n", `^{}\n$`, stream.HTTP},
		"nothing":                   {policy.NoFormat, events, "data: 1\n\n", `^data: 1\n\n$`, stream.HTTP},
		"by the content type":       {policy.AutoFormat, events, "data: 1\n\n", `^data: 1\n\nretry: \d+\nevent: shutdown\n`, stream.SSE},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rule := policy.Rule{Kind: policy.Infinite, Format: c.format, Farewell: policy.Farewell{Message: "bye"}, Ending: policy.CleanEnding}
				r := serve(t, &middleware.Drainer{Policy: rule}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					contentType, coding, _ := strings.Cut(c.contentType, "\x00")
					w.Header().Set("Content-Type", contentType)
					if coding != "" {
						w.Header().Set("Content-Encoding", coding)
					}
					_, _ = io.WriteString(w, c.body)
					w.(http.Flusher).Flush()
					assert.Equal(t, c.speaks, stream.From(r.Context()).Format())
					<-r.Context().Done()
				}))
				got := r.getAsyncWith("/", "Accept-Encoding", "identity")
				r.drain()
				report := r.endsAfter(250 * time.Millisecond)
				a := <-got
				assert.NoError(t, a.err)
				assert.Regexp(t, c.want, a.body)
				assert.Equal(t, a.body != c.body, report.Told == 1, "%+v", report)
				assert.EqualValues(t, 1, report.Told+report.Canceled)
			})
		})
	}
}

// The format doesn't decide the kind.
func TestFormatByRuleIsNoKind(t *testing.T) {
	for format := policy.AutoFormat; format <= policy.NoFormat; format++ {
		for contentType, want := range map[string]policy.Kind{"text/event-stream": policy.Infinite, "application/json": policy.Finite} {
			d := &middleware.Drainer{Policy: policy.Rule{Format: format}}
			var kind policy.Kind
			h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", contentType)
				w.WriteHeader(http.StatusOK)
				kind = stream.From(r.Context()).Kind()
			}))
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			assert.Equal(t, want, kind, "%v %v", contentType, format)
			require.NoError(t, d.Close())
		}
	}
}

// An inner Graceful's rule says what the body speaks too.
func TestFormatOfAnInnerRule(t *testing.T) {
	d := &middleware.Drainer{}
	inner := middleware.Graceful(d, policy.Rule{Format: policy.LinesFormat})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		assert.Equal(t, stream.Lines, stream.From(r.Context()).Format())
	}))
	middleware.Graceful(d)(inner).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	require.NoError(t, d.Close())
}

// What is served under the media type of event streams and carries none gets no event. It only
// ends.
func TestEventStreamThatCarriesNoEvents(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		told bool
	}{
		"nothing yet": {"", true},
		"a comment":   {":\n\n", true},
		"text":        {"hello\n\nworld\n\n", false},
		"JSON":        {"{\n\n}\n\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					startEvents(w, c.body)
					<-r.Context().Done()
				}))
				got := r.getAsync("/")
				r.drain()
				after := 250 * time.Millisecond
				if !c.told {
					after *= 3 // the cancel waits for an event's end
				}
				report := r.endsAfter(after)
				a := <-got
				assert.NoError(t, a.err)
				if c.told {
					assert.Contains(t, a.body, "event: shutdown\n")
					assert.EqualValues(t, 1, report.Told)
				} else {
					assert.Equal(t, c.body, a.body)
					assert.EqualValues(t, 1, report.Canceled)
				}
			})
		})
	}
}
