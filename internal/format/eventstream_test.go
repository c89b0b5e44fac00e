package format

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestEventStreamAtBoundary(t *testing.T) {
	for _, c := range []struct {
		name   string
		stream string
		want   bool
	}{
		{"start", "", true},
		{"LF", "data: x\n\n", true},
		{"CR", "data: x\r\r", true},
		{"CRLF", "data: x\r\n\r\n", true},
		{"CR of a blank CRLF", "data: x\r\n\r", true},
		{"LF, then CRLF", "data: x\n\r\n", true},
		{"CRLF, then LF", "data: x\r\n\n", true},
		{"CR, then CRLF", "data: x\r\r\n", true},
		{"CRLF is one line end", "data: x\r\n", false},
		{"CR alone", "data: x\r", false},
		{"LF alone", "data: x\n", false},
		{"no line end", "data: x", false},
		{"blank lines only", "\n\r\n\r\n\n", true},

		{"mark", "\uFEFF", true},
		{"half a mark", "\xef\xbb", false},
		{"mark, event", "\uFEFFdata: x\n\n", true},
		{"mark, comment", "\uFEFF: hello\n", true},
		{"mark, field", "\uFEFFdata: x\n", false},
		{"a second mark is a field's name", "\uFEFF\uFEFF\n", false},
		{"a later mark is a field's name", ":\n\uFEFF\n", false},
		{"another character that begins as the mark does", "\uFB00: x\n", false},
		{"the same, whole", "\uFB00: x\ndata\n\n", true},

		{"comment", ": hello\n", true},
		{"comment without end", ": hello", false},
		{"heartbeat", ":\n\n", true},
		{"heartbeats", "data: x\n\n:\n\n:\n\n", true},
		{"comment behind an event", "data: x\n\n: c\n", true},
		{"comment in an event", "data: x\n: c\n", false},
		{"comment with CRLF", ": c\r\n", true},
		{"comment with CR", ": c\r", true},

		{"id only", "id: 7\n", false},
		{"id only, dispatched", "id: 7\n\n", true},
		{"retry only", "retry: 7\n", false},
		{"unknown field", "x\n", false},
		{"space is no blank line", "data: x\n \n", false},
		{"two events and a half", "data: 1\n\ndata: 2\n\ndata: 3\n", false},

		{"text controls", "data: a\tb\fc\x1b[0m\n\n", true},
		{"DEL and C1", "data: a\x7fb\u0080\n\n", true},
		{"UTF-8", "data: grüße, 世界 🌍\n\n", true},
		{"UTF-8 in the first name", "grüße: 🌍\ndata: 🌍\n\n", true},
		{"a replacement character that was sent", "\uFFFD: x\nid\n\n", true},
		{"invalid UTF-8 in a value", "data: \xff\xfe\n\n", true},
		{"invalid UTF-8 in a later line, of data that nobody split", "data: a\n\xff\n\n", true},

		{"raw text", "hello\n\n", false},
		{"raw text, and more of it", "hello\n\nworld\n\n", false},
		{"raw text with a colon", "note: hello\n\n", false},
		{"JSON", "{\"data\": 1}\n\n", false},
		{"a field's name and more", "data2: x\n\n", false},
		{"a long name that ends as a field's", "somedata: x\n\n", false},
		{"a field's name behind another one's colon", "x:data\n\n", false},
		{"a field's name behind a space", " data: x\n\n", false},
		{"raw text, then an event", "hello\n\ndata: x\n\n", true},
		{"an event with another field first", "x\ndata: x\n\n", true},
		{"raw text behind an event", "data: x\n\nhello\n\n", true},
		{"raw text behind a comment", ":\n\nhello\n\n", true},
		{"raw text behind a mark", "\uFEFFhello\n\n", false},
		{"a mark within a name", "da\uFEFFta\n\n", false},
		{"blank lines, then raw text", "\n\nhello\n\n", false},
		{"a name alone is a field", "event\n\n", true},
		{"retry", "retry\r\r", true},

		{"invalid UTF-8 in the first name", "da\xffta: x\n\n", false},
		{"unfinished character in the first name", "da\xe4\n\n", false},
		{"NUL", "data: \x00\n\n", false},
		{"NUL, long ago", "data: \x00\n\ndata: x\n\n", false},
		{"NUL in a comment", ": \x00\n\n", false},
		{"BEL", "data: x\n\n\a\n\n", false},
		{"gzip", "\x1f\x8b\x08\x00\n\n", false},
		{"zstd", "\x28\xb5\x2f\xfd\n\n", false},
		{"zlib", "\x78\x9c\n\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var whole eventStream
			n, err := whole.Write([]byte(c.stream))
			require.NoError(t, err)
			assert.Equal(t, len(c.stream), n)
			assert.Equal(t, c.want, whole.AtBoundary(), "in one Write")

			var bytewise eventStream
			for i := range len(c.stream) {
				_, _ = bytewise.Write([]byte{c.stream[i]})
				_, _ = bytewise.Write(nil)
			}
			assert.Equal(t, c.want, bytewise.AtBoundary(), "in Writes of one byte")
			assert.Equal(t, c.want, isBoundary(c.stream), "the test's own judgement")
		})
	}
}

func TestEventStreamBoundary(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  string
		p       string
		want    int
		wantOut string
	}{
		{name: "now, at the start", p: "data: x\n\n", want: 0},
		{name: "now, with nothing to come", p: "", want: 0},
		{name: "now, before the LF of a CR", before: "data: x\n\r", p: "\n", want: 0},
		{name: "nothing to come", before: "data: x\n", p: "", want: -1},
		{name: "the blank line", before: "data: x\n", p: "\n", want: 1},
		{name: "LF of a field's CRLF is no blank line", before: "data: x\r", p: "\n", want: -1},
		{name: "LF of a field's CRLF, then a blank line", before: "data: x\r", p: "\n\r\n", want: 3},
		{name: "the first of two", before: "data", p: ": x\n\ndata: y\n\n", want: 5},
		{name: "CRLF is taken whole", before: "data", p: ": x\r\n\r\ndata: y\r\n\r\n", want: 7},
		{name: "CRLF, its LF still to come", before: "data", p: ": x\r\n\r", want: 6},
		{name: "CR", before: "data", p: ": x\r\rdata", want: 5},
		{name: "the end of a comment", before: ": he", p: "llo\ndata: x\n", want: 4},
		{name: "the end of a comment in an event", before: "id: 1\n: he", p: "llo\ndata: x\n\n", want: 13},
		{name: "the end of the mark", before: "\xef", p: "\xbb\xbfdata: x\n\n", want: 2},
		{name: "before the binary bytes", before: "data", p: "\n\n\x00", want: 2},
		{name: "not behind binary bytes", before: "data", p: "\x00\n\n", want: -1},
		{name: "never in what is no stream", before: "\x1f\x8b", p: "\n\ndata: x\n\n", want: -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s eventStream
			_, _ = s.Write([]byte(c.before))
			was := s
			assert.Equal(t, c.want, s.Boundary([]byte(c.p)))
			assert.Equal(t, was, s, "looking ahead changes nothing")
		})
	}
}

// A library may write an event in pieces. Another event has to wait until the last one is out.
func TestEventStreamInPieces(t *testing.T) {
	var s eventStream
	for _, c := range []struct {
		piece string
		want  bool
	}{
		{"id: 7\n", false}, {"data: tick\n", false}, {"\n", true}, {": heart", false}, {"beat\n", true}, {"data: ti", false},
	} {
		_, _ = s.Write([]byte(c.piece))
		assert.Equal(t, c.want, s.AtBoundary(), "behind %q", c.piece)
	}
	assert.Equal(t, len("ck\n\n"), s.Boundary([]byte("ck\n\ndata: tock\n")))
}

// An event through r3labs/sse: five Writes, of which none is an event.
func TestEventStreamBoundaryOverFiveWrites(t *testing.T) {
	var s eventStream
	for _, w := range []string{"id: 0\n", "data: a\nb\n", "event: e\n", "retry: 100\n"} {
		_, _ = s.Write([]byte(w))
		assert.False(t, s.AtBoundary(), "behind %q", w)
		assert.Equal(t, -1, s.Boundary([]byte("event: e\n")))
	}
	assert.Equal(t, 1, s.Boundary([]byte("\n")))
	_, _ = s.Write([]byte("\n"))
	assert.True(t, s.AtBoundary())
}

func TestCompressedIsNoEventStream(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	noise := make([]byte, 64<<10)
	_, _ = random.Read(noise)

	var zipped, deflated bytes.Buffer
	gz, zl := gzip.NewWriter(&zipped), zlib.NewWriter(&deflated)
	for range 1000 {
		_, _ = gz.Write(noise[:64])
		_, _ = zl.Write(noise[:64])
		noise = noise[64:]
	}
	require.NoError(t, gz.Close())
	require.NoError(t, zl.Close())

	for name, stream := range map[string][]byte{"gzip": zipped.Bytes(), "zlib": deflated.Bytes(), "noise": noise} {
		var s eventStream
		for i := range stream {
			_, _ = s.Write(stream[i : i+1])
			require.False(t, s.AtBoundary(), "%s, behind byte %d", name, i)
		}
		require.Equal(t, -1, s.Boundary([]byte("\n\ndata: x\n\n")), name)
	}
}

// Every position of a line end relative to the eight bytes that are looked at together, beside
// bytes that make the arithmetic borrow.
func TestLineEndsAtEveryOffset(t *testing.T) {
	for _, pad := range []string{" ", "\x7f", "\x80", "\xff", "!", "\t", "\x1b"} {
		for n := range 40 {
			for _, end := range []string{"\n\n", "\r\r", "\r\n\r\n", "\n\r\n"} {
				value := strings.Repeat(pad, n)
				var s eventStream
				got := "data:" + value + end
				_, _ = s.Write([]byte("data:"))
				assert.Equal(t, n+len(end), s.Boundary([]byte(value+end+value)), "%q", got)
				_, _ = s.Write([]byte(value + end[:len(end)/2]))
				_, _ = s.Write([]byte(value))
				_, _ = s.Write([]byte("\x00"))
				assert.Equal(t, -1, s.Boundary([]byte(end)), "%q", got)
			}
		}
	}
}

func TestEventStreamAllocatesNothing(t *testing.T) {
	p := event100()
	var s eventStream
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		_, _ = s.Write(p[:7])
		_ = s.Boundary(p[7:])
		_, _ = s.Write(p[7:])
		_ = s.AtBoundary()
	}))
}

// FuzzEventStream cuts any bytes anywhere. An event put in at the first boundary after some point
// has to reach a client whole, behind exactly the events that were whole before it, and must not
// have split one.
func FuzzEventStream(f *testing.F) {
	for _, seed := range []string{
		"data: x\n\ndata: y\n\n", "data: x\r\n\r\n:\r\n\r\nid: 7\r\n\r\n", "data\r\rdata\r\r", "\uFEFFdata: x\n\n",
		"\uFEFF\uFEFF\n\n", "\xef\xbb\n\n", "data: x\r\r\ndata: y\n\r\n", ": c\n\nid\n\nretry: 5\n\nevent: e\ndata\n\n",
		"\x1f\x8b\n\n", "data: \x00\n\n", "da\xffta\n\n", "id: 7\n", "\r\n\r\n\n\r", "data: \x1b[1m\t\f\n\n", "\uFB00\n\n",
	} {
		f.Add([]byte(seed), []byte{1}, uint(0))
		f.Add([]byte(seed), []byte{3, 1, 9}, uint(5))
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte, from uint) {
		stream = stream[:min(len(stream), 400)]
		from %= uint(len(stream)) + 1

		var s eventStream
		for at, i := 0, 0; ; i++ {
			require.Equal(t, isBoundary(string(stream[:at])), s.AtBoundary(), "%q", stream[:at])
			rest := stream[at:]
			if len(cuts) > 0 {
				rest = rest[:min(len(rest), int(cuts[i%len(cuts)])%32+1)]
			}
			n := s.Boundary(rest)
			require.Equal(t, firstBoundary(stream, at, rest), n, "%q then %q", stream[:at], rest)
			if n >= 0 && uint(at) >= from {
				checkInsertion(t, string(stream[:at+n]), string(stream[at+n:]))
				return
			}
			if at == len(stream) {
				return
			}
			_, _ = s.Write(rest)
			at += len(rest)
		}
	})
}

// firstBoundary tries every prefix of p, which begins at `at` in stream.
func firstBoundary(stream []byte, at int, p []byte) int {
	for n := range len(p) + 1 {
		if !isBoundary(string(stream[:at+n])) {
			continue
		}
		if n > 0 && n < len(p) && p[n-1] == '\r' && p[n] == '\n' {
			n++
		}
		return n
	}
	return -1
}

func checkInsertion(t *testing.T, prefix, suffix string) {
	t.Helper()
	before := readEvents(prefix)
	out := new(eventStream).AppendFarewell([]byte(prefix), policy.Farewell{Event: "shutdown", Data: "bye\nbye"}, 1234*time.Millisecond)

	got := readEvents(string(out))
	ours := received{"shutdown", "bye\nbye", before.lastID}
	require.Equal(t, append(before.events, ours), got.events, "%q", out)
	require.Equal(t, before.lastID, got.lastID)
	require.Equal(t, "1234", got.retry)

	// Had the handler gone on, the rest would have been events of its own: nothing of one is behind
	// the boundary while its beginning is before it. (Before a byte order mark nothing can be put
	// that leaves it one.)
	if prefix != "" {
		require.Equal(t, readEvents(prefix+suffix), readEvents(prefix+":\n"+suffix), "%q then %q", prefix, suffix)
	}
}

// FuzzEventStreamFarewell: what AppendFarewell writes is what a client reads, and never more than
// that.
func FuzzEventStreamFarewell(f *testing.F) {
	f.Add(int64(time.Second), "shutdown", `{"retry":1000}`)
	f.Add(int64(0), "", "a\r\nb\rc\nd\n\r")
	f.Add(int64(-1), "x\nid: 1", "x\n\nid: 1\n\n")
	f.Add(int64(1), "\x00\r", "")
	f.Add(int64(math.MaxInt64), "\uFEFF", "\uFEFF\n \n:")
	f.Fuzz(func(t *testing.T, retry int64, name, data string) {
		const before = "id: 41\ndata: theirs\n\n"
		out := string(new(eventStream).AppendFarewell([]byte(before), policy.Farewell{Event: name, Data: data}, time.Duration(retry)))
		got := readEvents(out)

		name = strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(name)
		want := []received{{"message", "theirs", "41"}}
		if name != "" || data != "" {
			ours := received{name, lineEnds.Replace(data), "41"}
			if name == "" {
				ours.name = "message"
			}
			want = append(want, ours)
		}
		require.Equal(t, want, got.events, "%q", out)
		require.Equal(t, "41", got.lastID, "%q", out)

		var wantRetry int64
		if retry > 0 {
			wantRetry = max(1, retry/int64(time.Millisecond))
		}
		require.Equal(t, wantRetry, got.retryMillis(), "%q", out)

		if looksLikeStream(out) {
			var s eventStream
			_, _ = s.Write([]byte(out))
			require.True(t, s.AtBoundary(), "%q", out)
		}
	})
}

func event100() []byte {
	event := "id: 123456\nevent: price\ndata: {\"symbol\":\"ABC\",\"price\":123.45,\"at\":\"2024-01-02T03:04:05Z\"}\n\n"
	return []byte(event[:len(event)-2] + strings.Repeat(" ", 100-len(event)) + "\n\n")
}

func BenchmarkEventStream(b *testing.B) {
	for _, c := range []struct {
		name string
		p    []byte
	}{
		{"heartbeat", []byte(":\n\n")},
		{"event=100B", event100()},
		{"event=100B,CRLF", bytes.ReplaceAll(event100(), []byte("\n"), []byte("\r\n"))},
		{"event=1KiB", []byte("data: " + strings.Repeat("x", 1016) + "\n\n")},
		{"event=1MiB", []byte("data: " + strings.Repeat("x", 1<<20-8) + "\n\n")},
		{"100 events of 100B", bytes.Repeat(event100(), 100)},
		{"no stream", []byte("\x1f\x8b" + strings.Repeat("x", 98))},
	} {
		b.Run(c.name, func(b *testing.B) {
			var s eventStream
			b.SetBytes(int64(len(c.p)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = s.Write(c.p)
			}
		})
	}
}
