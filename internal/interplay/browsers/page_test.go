package browsers

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
)

// EventSource.readyState.
const (
	connecting = harness.Connecting
	opened     = harness.Open
	closed     = harness.Closed
)

// What the scripts of pages record.
type (
	sourceEvent struct {
		Type       string `json:"type"`
		ReadyState int    `json:"readyState"`
		Data       string `json:"data"`
	}
	closeEvent = harness.CloseEvent
	answer     struct {
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
	// By the default options the profile is in a temporary directory, which is removed when the
	// last process of Chromium has ended. t.TempDir can't know when that is.
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.IgnoreCertErrors, // the servers' certificates are self-signed
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
	return harness.Chromium(t)
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
		p.t.Fatalf("in the page, %s: %v\nits events: %s\nits text: %s", expression, err,
			value[string](p, "String(JSON.stringify(window.lastcall))"), value[string](p, "document.body.innerText"))
	}
}

// value returns the value of a JavaScript expression.
func value[T any](p *page, expression string) T {
	p.t.Helper()
	limited, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(limited, chromedp.Evaluate[T](expression))
	require.NoError(p.t, err, expression)
	return v
}
