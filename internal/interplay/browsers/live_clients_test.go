package browsers

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
)

// At the push of a button 200 clients are there, as dots. They are told, end and come back to the
// next process. The status page, which is part of the live page, shows the drain meanwhile.
func TestLivePageWithManyClients(t *testing.T) {
	t.Parallel() // it mostly waits for the clients to come back
	p, old, binary := openLive(t)
	dots := func(state string) string {
		return `document.querySelectorAll("#dots [data-state=` + state + `]").length`
	}
	drain := `byId("drain").shadowRoot.querySelector("main").innerText`
	for _, width := range []int64{360, 1200} {
		p.command(chromedp.EmulateViewport(width, 800))
		assert.LessOrEqual(t, value[int64](p, `document.documentElement.scrollWidth`), width)
	}
	p.do(`byId("many").click()`)
	p.until(dots("open") + ` === 200`)
	p.until(drain + `.includes("serving: 202 open")`) // with the chat and the dashboard
	p.shoot("live-before")
	p.do(`window.seen = new Set(); new MutationObserver((all) => all.forEach((m) => seen.add(m.target.dataset.state)))
		.observe(byId("dots"), { subtree: true, attributeFilter: ["data-state"] })`)

	p.operate("drain")
	p.until(dots("ended") + ` > 50`)
	p.shoot("live-during")
	p.until(drain + `.includes("done: 0 open") && ` + drain + `.includes("202 told")`)
	p.until(`/^\d+ were told to come back, each at its own time: in 1\.\d s to [45]\.\d s\.$/.test(byId("windows").textContent)`)

	old.stop()
	old.wait()
	launch(t, binary, old.addr)
	p.until(dots("back") + ` === 200`)
	p.shoot("live-after")
	assert.Subset(t, []string{"told", "ended", "back", "waiting"}, value[[]string](p, `[...seen]`), "none was lost")
	assert.Subset(t, value[[]string](p, `[...seen]`), []string{"told", "ended", "back"})
	p.until(`document.querySelector("#legend [data-state=back] b").textContent === "200"`)

	p.do(`byId("many").click()`)
	p.until(drain + `.includes("serving: 2 open")`)
}
