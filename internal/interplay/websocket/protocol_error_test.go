package websocket

import (
	"io"
	"sync"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// TestInvalidAnswers has a peer answer the Close with what the protocol forbids. It is cut when its
// own rule's time is up, and a healthy peer beside it is not affected.
func TestInvalidAnswers(t *testing.T) {
	rule := policy.Rule{Timeout: 300 * time.Millisecond, Mercy: 300 * time.Millisecond}
	frame := clientFrame(true, opBinary, []byte("data"))
	for _, test := range []struct {
		name   string
		answer string
		flood  bool
	}{
		{name: "a flood", answer: string(frame), flood: true},
		{name: "a flood of pings", answer: string(clientFrame(true, opPing, nil)), flood: true},
		{name: "a flood of rubbish", answer: "\xff\xff\xff\xff\xff\xff\xff\xff", flood: true},
		{name: "reserved bits", answer: "\xf1\x80keys"},
		{name: "reserved bits in a Close", answer: "\xc8\x80keys"},
		{name: "a reserved opcode", answer: "\x83\x80keys"},
		{name: "an unmasked frame", answer: "\x81\x02hi"},
		{name: "an unmasked Close", answer: "\x88\x00"},
		{name: "a length with its top bit set", answer: "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffkeys"},
		{name: "a length that never comes", answer: "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffkeys"},
		{name: "half a Close", answer: "\x88\x82key"},
		{name: "a fragmented Close", answer: "\x08\x80keys"},
		{name: "a Close that is too long", answer: "\x88\xfe\x00\x7ekeys" + string(make([]byte, 126))},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &middleware.Drainer{Policy: rule}
			addr := smallBufferServer(t, d)
			invalid, healthy := connect(t, addr, "invalid"), connect(t, addr, "healthy")
			defer invalid.Close()
			defer healthy.Close()
			d.Start()
			f, err := readFrame(invalid.br)
			require.NoError(t, err)
			require.Equal(t, byte(opClose), f.opcode)
			_, err = io.WriteString(invalid, test.answer)
			require.NoError(t, err)
			var flooding sync.WaitGroup
			flooding.Go(func() {
				for err := error(nil); test.flood && err == nil; {
					_, err = io.WriteString(invalid, test.answer)
				}
			})
			e, err := healthy.readToClose(nil)
			assert.NoError(t, err)
			assert.Equal(t, 1012, e.code)
			rest, _ := io.ReadAll(invalid.br) // it may be reset
			assert.Empty(t, rest)
			report := harness.Shutdown(t, d)
			flooding.Wait()
			assert.EqualValues(t, 1, report.Told)
			assert.EqualValues(t, 1, report.Unanswered)
			assert.Less(t, report.Took, rule.Timeout+rule.Mercy+time.Second)
		})
	}
}

// TestProtocolErrorBeforeDrain has peers violate the protocol before the drain. The library ends
// their connections, and nothing is left to drain.
func TestProtocolErrorBeforeDrain(t *testing.T) {
	d := &middleware.Drainer{}
	addr := smallBufferServer(t, d)
	for _, frame := range []string{"\xf1\x80keys", "\x83\x80keys", "\x81\x02hi", "\x80\x80keys"} {
		p := connect(t, addr, "invalid")
		_, err := io.WriteString(p, frame)
		require.NoError(t, err)
		f, err := readFrame(p.br)
		require.NoError(t, err)
		code, _, err := parseClose(f.payload)
		require.NoError(t, err)
		assert.Equal(t, gorilla.CloseProtocolError, code, "gorilla's own Close for %x", frame)
		_, _ = io.ReadAll(p.br)
		_ = p.Close()
	}
	report := harness.Shutdown(t, d)
	// The client may see its connection closed shortly before the handler has returned. Then the
	// drain still finds it.
	assert.EqualValues(t, 4, report.Before.All()+report.Completed, "%+v", report)
	assert.Zero(t, report.Told+report.Unanswered+report.Canceled+report.Cut)
}
