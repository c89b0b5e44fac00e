package browsers

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// EventSource.readyState, WHATWG HTML 9.2.2. From closed there is no way back.
const (
	connecting = 0
	opened     = 1
	closed     = 2
)

// What the pages note down.
type (
	sourceEvent struct {
		Type       string `json:"type"`
		ReadyState int    `json:"readyState"`
		Data       string `json:"data"`
	}
	closeEvent struct {
		Code     int    `json:"code"`
		Reason   string `json:"reason"`
		WasClean bool   `json:"wasClean"`
	}
	answer struct {
		Status      int    `json:"status"`
		ContentType string `json:"contentType"`
		Text        string `json:"text"`
		End         string `json:"end"`
	}
)

// A page is open in a Chromium of its own, with a new profile.
type page struct {
	t   *testing.T
	ctx context.Context
}

func open(t *testing.T, url string) *page {
	t.Helper()
	// The default options make a profile in a temporary directory, and remove it once the last of Chromium's processes
	// is gone, which t.TempDir can't know.
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.IgnoreCertErrors, // our servers' certificates are their own
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	allocator, freeAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(freeAllocator)
	ctx, free := chromedp.NewContext(allocator)
	t.Cleanup(free)

	p := &page{t, ctx}
	require.NoError(t, chromedp.Do(ctx), "Chromium doesn't start")
	t.Cleanup(func() {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		assert.NoError(t, chromedp.Cancel(limited), "Chromium doesn't end")
	})
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	require.NoError(t, chromedp.Do(limited, chromedp.Navigate(url)))
	return p
}

func chromium(t *testing.T) string {
	t.Helper()
	return program(t, "LASTCALL_BROWSER", "chromium")
}

// do runs a JavaScript statement in the page.
func (p *page) do(statement string) {
	p.t.Helper()
	value[bool](p, "(() => { "+statement+"; return true })()")
}

// until waits until a JavaScript expression holds.
func (p *page) until(expression string) {
	p.t.Helper()
	limited, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(limited, chromedp.Poll[bool]("!!("+expression+")",
		chromedp.WithPollingInterval(pollEvery), chromedp.WithPollingTimeout(patience)))
	if err != nil {
		p.t.Fatalf("in the page, %s: %v\nit has seen %s\nand shows %s", expression, err,
			value[string](p, "JSON.stringify(lastcall)"), value[string](p, "document.body.innerText"))
	}
}

// value gives a JavaScript expression's value.
func value[T any](p *page, expression string) T {
	p.t.Helper()
	limited, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(limited, chromedp.Evaluate[T](expression))
	require.NoError(p.t, err, expression)
	return v
}
