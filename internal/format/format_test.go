package format

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/policy"
)

func TestRecognize(t *testing.T) {
	const none = "" // nothing can be put in
	for _, c := range []struct {
		name    string
		header  http.Header
		want    string // the format's name
		endless bool
	}{
		{"nil", nil, none, false},
		{"empty", http.Header{}, none, false},
		{"JSON", http.Header{"Content-Type": {"application/json"}}, none, false},
		{"encoded JSON", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, none, false},

		{"event stream", http.Header{"Content-Type": {"text/event-stream"}}, SSE, true},
		{"charset", http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}, SSE, true},
		{"charset without space", http.Header{"Content-Type": {"text/event-stream;charset=UTF-8"}}, SSE, true},
		{"case and spaces", http.Header{"Content-Type": {" Text/Event-Stream ;x=y"}}, SSE, true},
		{"longer", http.Header{"Content-Type": {"text/event-stream2"}}, none, false},
		{"named by a parameter only", http.Header{"Content-Type": {"text/plain; x=text/event-stream"}}, none, false},
		{"first counts", http.Header{"Content-Type": {"text/html", "text/event-stream"}}, none, false},
		{"identity", http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"Identity"}}, SSE, true},
		{"empty coding", http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {""}}, SSE, true},
		{"gzip", http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"gzip"}}, none, true},
		{"two in one", http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"identity, br"}}, none, true},
		{"two", http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"identity", "br"}}, none, true},

		{"JSON lines", http.Header{"Content-Type": {"application/x-ndjson"}}, Lines, false},
		{"JSON lines, by another name", http.Header{"Content-Type": {"application/ndjson"}}, Lines, false},
		{"JSON lines, by a third name", http.Header{"Content-Type": {"Application/JSONL; charset=utf-8"}}, Lines, false},
		{"JSON lines, by a fourth name", http.Header{"Content-Type": {"application/stream+json"}}, Lines, false},
		{"encoded JSON lines", http.Header{"Content-Type": {"application/x-ndjson"}, "Content-Encoding": {"zstd"}}, none, false},

		{"parts", http.Header{"Content-Type": {mixed}}, Parts, true},
		{"parts without a boundary", http.Header{"Content-Type": {"multipart/x-mixed-replace"}}, none, true},
		{"parts with half a boundary", http.Header{"Content-Type": {`multipart/x-mixed-replace; boundary="`}}, none, true},
		{"parts that end", http.Header{"Content-Type": {"multipart/mixed; boundary=x"}}, Parts, false},
		{"parts that end, as gqlgen has them", http.Header{"Content-Type": {`multipart/mixed;boundary="-";deferSpec=20220824`}}, Parts, false},
		{"parts of another sort", http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, none, false},
		{"encoded parts", http.Header{"Content-Type": {mixed}, "Content-Encoding": {"gzip"}}, none, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, known, endless := Recognize(c.header)
			assert.Equal(t, c.endless, endless)
			assert.True(t, known || c.want == none && !c.endless)
			if c.want == none {
				assert.Nil(t, body)
				return
			}
			assert.Equal(t, c.want, body.Name())
			assert.True(t, body.AtBoundary(), "it stands at the beginning")
			another, _, _ := Recognize(c.header)
			assert.NotSame(t, body, another)
		})
	}
}

func TestEncodedLinesAreKnown(t *testing.T) {
	body, known, endless := Recognize(http.Header{"Content-Type": {"application/x-ndjson"}, "Content-Encoding": {"zstd"}})
	assert.Nil(t, body)
	assert.True(t, known)
	assert.False(t, endless)
}

// A rule's format makes a body of any media type one that a farewell can be inserted into, if the
// header has what that format needs.
func TestNewBody(t *testing.T) {
	json := http.Header{"Content-Type": {"application/json"}}
	for _, c := range []struct {
		format policy.Format
		header http.Header
		want   string // empty: nothing can be inserted
	}{
		{policy.EventsFormat, json, SSE},
		{policy.EventsFormat, nil, SSE},
		{policy.LinesFormat, json, Lines},
		{policy.LinesFormat, http.Header{"Content-Type": {"text/event-stream"}}, Lines},
		{policy.LinesFormat, http.Header{"Content-Encoding": {"gzip"}}, ""},
		{policy.PartsFormat, http.Header{"Content-Type": {"multipart/related; boundary=x"}}, Parts},
		{policy.PartsFormat, json, ""},
		{policy.PartsFormat, nil, ""},
		{policy.NoFormat, http.Header{"Content-Type": {"text/event-stream"}}, ""},
		{policy.NoFormat + 1, json, ""},
	} {
		body := NewBody(c.format, c.header)
		if c.want == "" {
			assert.Nil(t, body, "%v %v", c.format, c.header)
			continue
		}
		assert.Equal(t, c.want, body.Name(), "%v %v", c.format, c.header)
	}
}

func TestRecognizeAllocatesNothingForOthers(t *testing.T) {
	h := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, known, _ := Recognize(h); known {
			panic("recognized")
		}
	}))
}

func TestEncoded(t *testing.T) {
	for coding, want := range map[string]bool{"": false, " ": false, "identity": false, " Identity ": false, "gzip": true, "identity, br": true} {
		assert.Equal(t, want, Encoded(http.Header{"Content-Encoding": {coding}}), coding)
	}
	assert.False(t, Encoded(nil))
	assert.True(t, Encoded(http.Header{"Content-Encoding": {"identity", "br"}}))
}
