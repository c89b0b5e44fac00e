package browsers

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestChromium drains a server to which a page in Chromium is connected. A download keeps the drain
// going, so that what happens in the middle of it can be seen.
func TestChromium(t *testing.T) {
	chromium(t) // skips the test before anything is started
	for name, proto := range map[string]protocol{"HTTP/1.1": http1, "TLS and HTTP/2": h2} {
		t.Run(name, func(t *testing.T) {
			hold := make(chan struct{})
			release := sync.OnceFunc(func() { close(hold) })
			old := serve(t, proto, "127.0.0.1:0", site{name: "old", hold: hold})
			t.Cleanup(release)
			p := open(t, old.URL("/"))

			p.do(`source("early", "/events"); socket("chat", "/ws"); body("download", "/body")`)
			p.until(`lastcall.early.length === 2 && lastcall.chat.length === 1 && lastcall.download.text`)
			assert.Equal(t, []sourceEvent{
				{Type: "open", ReadyState: opened},
				{Type: "message", ReadyState: opened, Data: "old over " + proto.name},
			}, value[[]sourceEvent](p, `lastcall.early`))

			// The event stream and the WebSocket get their farewells.
			old.Stop()
			p.until(`lastcall.chat.length === 2`)
			bye := value[closeEvent](p, `lastcall.chat[1]`)
			assert.Equal(t, 4321, bye.Code)
			assert.Regexp(t, `^moving; retry=[1-3]\d\d$`, bye.Reason)
			assert.True(t, bye.WasClean)
			p.until(`lastcall.early.length >= 4`)
			told := value[[]sourceEvent](p, `lastcall.early.slice(2, 4)`)
			assert.Equal(t, "shutdown", told[0].Type)
			assert.Regexp(t, `^{"retry":[1-3]\d\d}$`, told[0].Data)
			assert.Equal(t, sourceEvent{Type: "error", ReadyState: connecting}, told[1])

			// This is what a fetch gets now, which would take a clean end for the last word.
			p.do(`whenEnded.early = () => body("refused", "/events", { Accept: "text/event-stream" })`)
			p.until(`lastcall.refused?.end`)
			refused := value[answer](p, `lastcall.refused`)
			assert.Equal(t, http.StatusOK, refused.Status)
			assert.Equal(t, "text/event-stream", refused.ContentType)
			assert.Regexp(t, `^retry: [1-3]\d\d\n\n$`, refused.Text)
			assert.Equal(t, "network error", refused.End)

			// A refusal by 503, which is what this probe responds with, would close it for good.
			p.do(`whenEnded.early = () => source("probe", "/readyz")`)
			p.until(`lastcall.probe?.length`)
			assert.Equal(t, []sourceEvent{{Type: "error", ReadyState: closed}}, value[[]sourceEvent](p, `lastcall.probe`))

			// The EventSource has reconnected several times in the drain. So does a new one.
			p.do(`source("late", "/events")`)
			p.until(`[lastcall.early, lastcall.late].every((log) => log.filter((e) => e.type === "open").length >= 3)`)
			for _, e := range value[[]sourceEvent](p, `[...lastcall.early.slice(4), ...lastcall.late]`) {
				assert.Contains(t, []sourceEvent{
					{Type: "open", ReadyState: opened},
					{Type: "error", ReadyState: connecting},
				}, e, "it only connects, and connects again")
			}

			// The download has gone on all the time. With HTTP/2 it shares a connection with the
			// rest.
			select {
			case <-old.Done:
				require.Fail(t, "the drain didn't wait for the download")
			default:
			}
			release()
			old.Drain(t)
			p.until(`lastcall.download.end`)
			assert.Equal(t, answer{
				Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Text: half + half, End: "whole",
			}, value[answer](p, `lastcall.download`))
			report := old.Drainer.Report()
			assert.EqualValues(t, 1, report.Completed)
			assert.EqualValues(t, 2, report.Told)
			assert.GreaterOrEqual(t, report.Refused, uint64(5))
			assert.Zero(t, report.Unanswered+report.Canceled+report.Cut)

			// Another server takes its place, to which both connect by themselves.
			serve(t, proto, old.Addr, site{name: "new"})
			p.until(`[lastcall.early, lastcall.late].every((log) => log.at(-1).data.startsWith("new over"))`)
		})
	}
}
