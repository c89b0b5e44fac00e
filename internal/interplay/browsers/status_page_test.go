package browsers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/status"
	"github.com/lastcall-go/lastcall/policy"
)

// The operators' page follows a drain of 500 streams, in which three handlers are stuck, and names
// the three and where they wait.
func TestStatusPageFollowsADrain(t *testing.T) {
	chromium(t)
	const streams, stuck = 500, 3
	d := &middleware.Drainer{
		Policy: policy.Rule{Grace: time.Second, Mercy: time.Minute, Timeout: policy.AtOnce},
		Budget: policy.Budget{Total: 2 * time.Minute},
	}
	var begun, ended sync.WaitGroup
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: hello\n\n")
		begun.Done()
		<-r.Context().Done()
	})
	mux.HandleFunc("GET /export/{id}", func(http.ResponseWriter, *http.Request) {
		begun.Done()
		export(release)
	})
	h := middleware.Graceful(d)(mux)
	ask := func(path string) {
		begun.Add(1)
		ended.Go(func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
		})
	}
	for n := range streams {
		ask(fmt.Sprintf("/rooms/%d", n))
	}
	for n := range stuck {
		ask(fmt.Sprintf("/export/%d", n))
	}
	begun.Wait()
	srv := httptest.NewServer(status.Handler(d))
	defer srv.Close()

	p := open(t, srv.URL)
	text := `document.body.innerText`
	p.until(text + `.includes("serving: 503 open")`)
	assert.Equal(t, 2, value[int](p, `document.querySelectorAll("meter").length`), "a bar for each route")

	d.Start()
	p.until(text + `.includes("canceling: 3 open")`)
	p.until(`document.querySelectorAll(".stuck code").length >= 6`)
	for n := range stuck {
		p.until(fmt.Sprintf(`%s.includes("GET /export/%d (pattern GET /export/{id})")`, text, n))
	}
	assert.Contains(t, value[string](p, text), "chan receive at ")
	assert.Contains(t, value[string](p, `document.querySelector(".stuck pre").textContent`), "browsers.export(")
	assert.Contains(t, value[string](p, text), "500 told")
	assert.Equal(t, value[float64](p, `document.documentElement.scrollWidth`), value[float64](p, `document.documentElement.clientWidth`), "nothing sticks out")

	close(release)
	p.until(text + `.includes("done: 0 open")`)
	assert.Contains(t, value[string](p, text), "of 503")
	require.NoError(t, d.Shutdown(context.Background()))
	ended.Wait()
}

func export(release <-chan struct{}) { <-release }
