package websocket

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware/draintest"
)

// TestStrictClient checks the strict client itself: it has to refuse every violation of the
// protocol, and nothing else. Otherwise the other tests would prove little.
func TestStrictClient(t *testing.T) {
	const bye = "\x88\x02\x03\xf4" // 1012
	big := string(binary.BigEndian.AppendUint64([]byte("\x82\x7f"), 65535))
	for _, test := range []struct {
		name, stream, wrong string // wrong is part of the error, or empty if there is none
		deflate             bool
	}{
		{name: "messages and a Close", stream: "\x81\x02ab\x89\x01p\x8a\x04ping\x82\x00" + bye},
		{name: "fragments around a ping", stream: "\x01\x01a\x89\x00\x00\x01b\x80\x01c" + bye},
		{name: "a Close inside a message", stream: "\x01\x01a" + bye},
		{name: "a Close without a code", stream: "\x88\x00"},
		{name: "a deflated message", stream: "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00" + bye, deflate: true},

		{name: "nothing", stream: "", wrong: "no Close: EOF"},
		{name: "no Close", stream: "\x81\x02ab", wrong: "no Close: EOF"},
		{name: "half a header", stream: "\x81", wrong: "within a frame"},
		{name: "half a length", stream: "\x81\x7e\x01", wrong: "within a frame"},
		{name: "half a payload", stream: "\x81\x02a", wrong: "within a frame"},
		{name: "a Close inside a frame", stream: "\x82\x05ab" + bye, wrong: "within a frame"},
		{name: "two Closes", stream: bye + bye, wrong: "after the Close"},
		{name: "a message after the Close", stream: bye + "\x81\x00", wrong: "after the Close"},
		{name: "half a code", stream: "\x88\x01\x03", wrong: "half a code"},
		{name: "a code that may not be sent", stream: "\x88\x02\x03\xee", wrong: "1006"},
		{name: "a reason that isn't UTF-8", stream: "\x88\x03\x03\xe8\xff", wrong: "UTF-8"},
		{name: "text that isn't UTF-8", stream: "\x81\x01\xff" + bye, wrong: "UTF-8"},
		{name: "a mask", stream: "\x81\x81keysa" + bye, wrong: "masked"},
		{name: "a reserved opcode", stream: "\x83\x00" + bye, wrong: "reserved"},
		{name: "a reserved control opcode", stream: "\x8b\x00" + bye, wrong: "reserved"},
		{name: "a reserved bit", stream: "\xc1\x00" + bye, wrong: "reserved bits"},
		{name: "a reserved bit in a continuation", stream: "\x01\x00\xc0\x00" + bye, deflate: true, wrong: "reserved bits"},
		{name: "rubbish that doesn't inflate", stream: "\xc1\x02\xff\xff" + bye, deflate: true, wrong: "inflate"},
		{name: "a fragmented ping", stream: "\x09\x00" + bye, wrong: "control frame"},
		{name: "a long ping", stream: "\x89\x7e\x00\x7e" + string(make([]byte, 126)) + bye, wrong: "control frame"},
		{name: "a length in too many bytes", stream: "\x82\x7e\x00\x7d" + string(make([]byte, 125)) + bye, wrong: "shortest"},
		{name: "a length in far too many bytes", stream: big, wrong: "shortest"},
		{name: "a message inside a message", stream: "\x01\x00\x81\x00" + bye, wrong: "inside a fragmented message"},
		{name: "a continuation of nothing", stream: "\x80\x00" + bye, wrong: "continuation"},
		{name: "a pong that nobody asked for", stream: "\x8a\x00" + bye, wrong: "nobody asked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, server := tcp(t)
			_, err := io.WriteString(server, test.stream)
			require.NoError(t, err)
			require.NoError(t, server.(*net.TCPConn).CloseWrite())
			p := newPeer(client)
			p.deflate = test.deflate
			_, err = p.readToClose(func(message) error { return nil })
			if test.wrong == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.wrong)
			}
		})
	}
	t.Run("a reset", func(t *testing.T) {
		client, server := tcp(t)
		_, err := io.WriteString(server, bye)
		require.NoError(t, err)
		p := newPeer(client)
		_, err = p.br.Peek(len(bye))
		require.NoError(t, err)
		require.NoError(t, draintest.Vanish(server))
		_, err = p.readToClose(nil)
		assert.Error(t, err)
	})
	t.Run("what it sends", func(t *testing.T) {
		for _, n := range []int{0, 125, 126, 65535, 65536} {
			b := clientFrame(true, opBinary, make([]byte, n))
			_, err := readFrame(bytes.NewReader(b))
			assert.ErrorContains(t, err, "masked", "nothing else is wrong with it")
		}
	})
}

// tcp returns both ends of a connection over loopback.
func tcp(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	require.NoError(t, client.SetDeadline(time.Now().Add(harness.Timeout)))
	return client, server
}
