package browsers

import (
	"context"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openLive starts examples/live and opens its page, which has come to rest when openLive returns.
func openLive(t *testing.T) (*page, *process, string) {
	t.Helper()
	chromium(t) // skips before anything is built
	binary := build(t)
	server := launch(t, binary, "127.0.0.1:0")
	p := open(t, "http://"+server.addr+"/")
	p.do(byID)
	p.until(`byId("ws").dataset.state === "open" && byId("goroutines").textContent > 0`)
	return p, server, binary
}

func (p *page) reload() {
	p.t.Helper()
	limited, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	require.NoError(p.t, chromedp.Do(limited, chromedp.Reload()))
	p.do(byID)
}

const byID = `window.byId = (id) => document.getElementById(id)`

// operate clicks one of the operator's buttons as soon as it can be.
func (p *page) operate(button string) {
	p.t.Helper()
	p.until(`!byId("operator").querySelector("[value=` + button + `]").disabled`)
	p.do(`byId("operator").querySelector("[value=` + button + `]").click()`)
}

// TestChromiumOnTheLivePage stops the server in the middle of it all, as somebody at a terminal
// would, and starts it again.
func TestChromiumOnTheLivePage(t *testing.T) {
	p, old, binary := openLive(t)
	p.do(`byId("ask").click(); byId("fetch").click()`)
	p.until(`byId("answer").textContent && byId("bar").value > 0`)

	old.stop()
	p.until(`lastcall.ws.length > 0`)
	bye := value[closeEvent](p, `lastcall.ws[0]`)
	assert.Equal(t, 1012, bye.Code)
	assert.Regexp(t, `^restarting; retry=[1-5]\d{3}$`, bye.Reason)
	assert.True(t, bye.WasClean)

	p.until(`lastcall.events.findLast((e) => e.type === "error")`)
	told := value[[]sourceEvent](p, `lastcall.events`)
	require.GreaterOrEqual(t, len(told), 3)
	assert.Equal(t, sourceEvent{Type: "open", ReadyState: opened}, told[0])
	assert.Equal(t, "shutdown", told[1].Type)
	assert.Regexp(t, `^{"retry":[1-5]\d{3}}$`, told[1].Data)
	assert.Equal(t, sourceEvent{Type: "error", ReadyState: connecting}, told[2], "it is coming back")

	// The answer and the download take ten seconds, in which the dashboard comes back to a server
	// that still drains.
	old.wait()
	opens := value[int](p, `lastcall.events.filter((e) => e.type === "open").length`)
	assert.GreaterOrEqual(t, opens, 2, "it came back in the middle of the drain")
	p.until(`byId("answered").textContent.startsWith("done: all ")`)
	p.until(`byId("got").textContent === "whole: 10.0 MiB"`)

	p.do(`byId("goroutines").textContent = ""`)
	launch(t, binary, old.addr)
	p.until(`byId("goroutines").textContent > 0`)
	p.until(`byId("ws").dataset.state === "open"`)
	for _, e := range value[[]sourceEvent](p, `lastcall.events`) {
		assert.NotEqual(t, closed, e.ReadyState)
	}
}

// A reload in the middle of a drain, and after it, finds the button that takes it back.
func TestLivePageIsThereWhileItDrains(t *testing.T) {
	p, server, _ := openLive(t)
	p.operate("drain")
	p.until(`byId("server").dataset.phase === "done"`)
	p.reload()
	p.until(`byId("phase").textContent === "Drained"`)
	p.operate("resume")
	p.until(`byId("server").dataset.phase === "serving"`)
	p.until(`byId("ws").dataset.state === "open" && byId("goroutines").textContent > 0`)
	assert.Contains(t, server.addr, value[string](p, `location.host`))
}

// The page shows each phase, the time that is left, and what is open by kind.
func TestLivePageShowsTheDrain(t *testing.T) {
	p, old, binary := openLive(t)
	kind := func(name string) string { return `document.querySelector("[data-kind=` + name + `]").textContent` }
	p.do(`byId("fetch").click()`)
	p.until(kind("finite") + ` === "1" && ` + kind("sse") + ` === "1" && ` + kind("websocket") + ` === "1"`)

	old.stop()
	p.until(`["Draining", "Canceling"].includes(byId("phase").textContent)`)
	p.until(kind("sse") + ` === "0 of 1" && ` + kind("websocket") + ` === "0 of 1" && ` + kind("finite") + ` === "1 of 1"`)
	p.until(`/^So far: .*2 told/.test(byId("outcomes").textContent)`)
	left := `parseFloat(/^(\d+\.\d) s left of 25 s$/.exec(byId("left").textContent)?.[1])`
	p.do(`window.first = ` + left)
	p.until(`first <= 25 && ` + left + ` < first - 1`)
	assert.True(t, value[bool](p, `byId("operator").querySelector("[value=resume]").disabled`), "a signal's drain is final")

	old.wait()
	p.until(`byId("phase").textContent === "Gone"`)
	assert.Contains(t, value[string](p, `byId("meaning").textContent`), "The server has ended. Start it again")
	launch(t, binary, old.addr)
	p.until(`byId("phase").textContent === "Serving"`)
	assert.Contains(t, value[string](p, `byId("meaning").textContent`), "A new process has taken over")
	phases := value[[]string](p, `lastcall.phases.filter((p) => p !== "done" && p !== "draining")`)
	assert.Equal(t, []string{"serving", "canceling", "gone", "serving"}, phases, "streams that were told are canceled at once")
}

// Figures that don't come any more are marked as stale, and a socket that can't come back yet says
// so.
func TestLivePageWaitsForTheServer(t *testing.T) {
	p, old, binary := openLive(t)
	stale := `byId("figures").parentElement.matches("[data-stale]")`
	assert.False(t, value[bool](p, stale))
	old.stop()
	old.wait()
	p.until(stale)
	assert.Regexp(t, `^stale: the last figures are \d+\.\d s old$`, value[string](p, `byId("age").textContent`))
	p.until(`byId("server").matches("[data-stale]")`)

	p.until(`byId("ws").dataset.state === "waiting"`)
	p.until(`/^server not back yet, trying again in \d\.\d s$/.test(byId("ws").lastElementChild.textContent)`)
	p.until(`byId("es").lastElementChild.textContent.startsWith("server not back yet")`)
	assert.NotContains(t, value[string](p, `document.body.innerText`), "1006")

	launch(t, binary, old.addr)
	p.until(`byId("ws").dataset.state === "open"`)
	p.until(`!` + stale)
	p.until(`!byId("server").matches("[data-stale]")`)
}

// What is typed while there is no server is kept, through a reload as well, and sent once.
func TestLivePageKeepsWhatIsTyped(t *testing.T) {
	p, _, _ := openLive(t)
	p.do(`window.say = (text) => { byId("text").value = text; byId("say").requestSubmit() }`)
	p.do(`say("before")`)
	p.until(`byId("log").innerText.includes("before")`)
	p.operate("drain")
	p.until(`byId("ws").dataset.state !== "open"`)
	p.do(`say("while away"); say("and more")`)
	pending := `[...document.querySelectorAll("#log .pending")].map((li) => li.textContent)`
	assert.Equal(t, []string{"youwhile away", "youand more"}, value[[]string](p, pending))
	assert.Empty(t, value[string](p, `byId("text").value`))
	p.until(`byId("ws").dataset.state === "waiting"`)
	p.reload()
	p.until(`document.querySelectorAll("#log .pending").length === 2`)
	p.operate("resume")
	said := `[...document.querySelectorAll("#log li:not(.sys, .pending)")].map((li) => li.lastChild.textContent)`
	p.until(`JSON.stringify(` + said + `) === '["before","while away","and more"]'`)
	assert.Empty(t, value[[]string](p, pending))
	assert.Equal(t, "[]", value[string](p, `sessionStorage.getItem("outbox")`))
}

func TestLivePageSaysWhatWasShed(t *testing.T) {
	p, _, _ := openLive(t)
	p.operate("shed")
	p.until(`byId("outcomes").textContent === "1 picked: 1 told, 0 unanswered, 0 cut"`)
	asked := `performance.getEntriesByType("resource").filter((e) => e.name.endsWith("/status")).length`
	p.do(`window.asked = ` + asked)
	p.until(asked + ` > asked + 1`)
	assert.Equal(t, "1 picked: 1 told, 0 unanswered, 0 cut", value[string](p, `byId("outcomes").textContent`), "it stays")
}

func TestLivePageSaysRefused(t *testing.T) {
	p, server, _ := openLive(t)
	p.operate("drain")
	p.until(`byId("server").dataset.phase !== "serving"`)
	res, err := http.Get("http://" + server.addr + "/download")
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	http.DefaultClient.CloseIdleConnections()
	p.do(`byId("fetch").click(); byId("ask").click()`)
	p.until(`/^refused: the server is draining; it says to come back in \d+ s$/.test(byId("got").textContent)`)
	p.until(`byId("answered").textContent === "refused: the server is draining"`)
}

// Below the answer nothing moves while it grows, on a phone as little as on a wide screen.
func TestLivePageDoesNotShift(t *testing.T) {
	p, _, _ := openLive(t)
	for _, width := range []int64{360, 1200} {
		require.NoError(t, chromedp.Do(p.ctx, chromedp.EmulateViewport(width, 800)))
		where := `JSON.stringify([document.documentElement.scrollHeight, document.documentElement.scrollWidth,
			...[...document.querySelectorAll("section, .strip, button, #answered, #got")].map((e) => e.getBoundingClientRect().top + scrollY)])`
		before := value[string](p, where)
		p.do(`byId("ask").click()`)
		p.until(`byId("answered").textContent === "typing"`)
		p.until(`byId("answer").textContent`)
		assert.Equal(t, before, value[string](p, where), "at a width of %d", width)
		p.do(`byId("answer").append("and so on ".repeat(500))`)
		assert.Equal(t, before, value[string](p, where), "at a width of %d", width)
		p.reload()
	}
}
