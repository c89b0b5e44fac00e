package browsers

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestChromiumInADrain keeps a drain going with a slow download, and looks at what comes in the middle of it.
func TestChromiumInADrain(t *testing.T) {
	chromium(t) // skips before anything is started
	for name, proto := range map[string]protocol{"HTTP/1.1": http1, "TLS and HTTP/2": h2} {
		t.Run(name, func(t *testing.T) {
			hold := make(chan struct{})
			release := sync.OnceFunc(func() { close(hold) })
			old := serve(t, proto, "127.0.0.1:0", site{name: "old", hold: hold})
			t.Cleanup(release)
			p := open(t, old.url("/"))

			p.do(`source("early", "/events"); socket("chat", "/ws"); body("download", "/body")`)
			p.until(`lastcall.early.length === 2 && lastcall.chat.length === 1 && lastcall.download.text`)
			assert.Equal(t, []sourceEvent{
				{Type: "open", ReadyState: opened},
				{Type: "message", ReadyState: opened, Data: "old over " + proto.name},
			}, value[[]sourceEvent](p, `lastcall.early`))

			// The two streams hear their farewells.
			old.stop()
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

			// What an EventSource gets now when it comes back.
			p.do(`whenEnded.early = () => body("refused", "/events", { Accept: "text/event-stream" })`)
			p.until(`lastcall.refused?.end`)
			refused := value[answer](p, `lastcall.refused`)
			assert.Equal(t, http.StatusOK, refused.Status)
			assert.Equal(t, "text/event-stream", refused.ContentType)
			assert.Regexp(t, `^retry: [1-3]\d\d\n\n$`, refused.Text)
			assert.Equal(t, "whole", refused.End)

			// What it would have come to otherwise: this probe, outside of what is drained, answers 503.
			p.do(`whenEnded.early = () => source("spurned", "/readyz")`)
			p.until(`lastcall.spurned?.length`)
			assert.Equal(t, []sourceEvent{{Type: "error", ReadyState: closed}}, value[[]sourceEvent](p, `lastcall.spurned`))

			// The EventSource came back in the middle of the drain, again and again, and so does a new one.
			p.do(`source("late", "/events")`)
			p.until(`[lastcall.early, lastcall.late].every((log) => log.filter((e) => e.type === "open").length >= 3)`)
			for _, e := range value[[]sourceEvent](p, `[...lastcall.early.slice(4), ...lastcall.late]`) {
				assert.Contains(t, []sourceEvent{
					{Type: "open", ReadyState: opened},
					{Type: "error", ReadyState: connecting},
				}, e, "nothing but connected, and connecting again")
			}

			// The download was there all the time, over HTTP/2 on the same connection as much of the rest.
			select {
			case <-old.ended:
				require.Fail(t, "the drain didn't wait for the download")
			default:
			}
			release()
			old.drain(t)
			p.until(`lastcall.download.end`)
			assert.Equal(t, answer{
				Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Text: half + half, End: "whole",
			}, value[answer](p, `lastcall.download`))
			report := old.drainer.Report()
			assert.EqualValues(t, 1, report.Completed)
			assert.EqualValues(t, 2, report.Told)
			assert.GreaterOrEqual(t, report.Refused, uint64(5))
			assert.Zero(t, report.Unanswered+report.Cancelled+report.Cut)

			// Another server takes its place, and they come back by themselves.
			serve(t, proto, old.addr, site{name: "new"})
			p.until(`[lastcall.early, lastcall.late].every((log) => log.at(-1).data.startsWith("new over"))`)
		})
	}
}
