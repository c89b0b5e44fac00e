package sse_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/sse"
)

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		name  string
		event sse.Event
		want  string
	}{
		{"none", sse.Event{}, ""},
		{"all", sse.Event{Retry: 3 * time.Second, Name: "shutdown", Data: `{"retry":3000}`},
			"retry: 3000\nevent: shutdown\ndata: {\"retry\":3000}\n\n"},
		{"retry only", sse.Event{Retry: 1500 * time.Millisecond}, "retry: 1500\n\n"},
		{"retry, whole milliseconds", sse.Event{Retry: 1999 * time.Microsecond}, "retry: 1\n\n"},
		{"retry, never zero", sse.Event{Retry: 1}, "retry: 1\n\n"},
		{"retry, negative", sse.Event{Retry: -time.Second, Data: "x"}, "data: x\n\n"},
		{"retry, longest", sse.Event{Retry: math.MaxInt64}, "retry: 9223372036854\n\n"},
		{"data only", sse.Event{Data: "x"}, "data: x\n\n"},
		{"name only", sse.Event{Name: "e"}, "event: e\ndata: \n\n"},
		{"LF", sse.Event{Data: "a\nb"}, "data: a\ndata: b\n\n"},
		{"CR", sse.Event{Data: "a\rb"}, "data: a\ndata: b\n\n"},
		{"CRLF", sse.Event{Data: "a\r\nb"}, "data: a\ndata: b\n\n"},
		{"LFCR is two", sse.Event{Data: "a\n\rb"}, "data: a\ndata: \ndata: b\n\n"},
		{"line end last", sse.Event{Data: "a\r\n"}, "data: a\ndata: \n\n"},
		{"line end only", sse.Event{Data: "\n"}, "data: \ndata: \n\n"},
		{"spaces kept", sse.Event{Name: " e ", Data: " a\n  b"}, "event:  e \ndata:  a\ndata:   b\n\n"},
		{"no smuggling by name", sse.Event{Name: "e\nid: 1\r\n\r\ndata\x00", Data: "x"}, "event: eid: 1data\ndata: x\n\n"},
		{"no smuggling by data", sse.Event{Data: "x\n\nid: 1\rretry: 1"}, "data: x\ndata: \ndata: id: 1\ndata: retry: 1\n\n"},
		{"nothing left of the name", sse.Event{Name: "\r\n\x00"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, string(c.event.Append(nil)))
			assert.Equal(t, "before\n\n"+c.want, string(c.event.Append([]byte("before\n\n"))))
		})
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	b := make([]byte, 0, 256)
	e := sse.Event{Retry: time.Second, Name: "shutdown", Data: "line\r\nline\nline"}
	assert.Zero(t, testing.AllocsPerRun(1000, func() { b = e.Append(b[:0]) }))
}

func BenchmarkAppend(b *testing.B) {
	buf := make([]byte, 0, 256)
	e := sse.Event{Retry: 3 * time.Second, Name: "shutdown", Data: `{"retry":3000}`}
	b.ReportAllocs()
	for b.Loop() {
		buf = e.Append(buf[:0])
	}
}
