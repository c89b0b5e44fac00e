package fuzz

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/wsconn"
	"github.com/lastcall-go/lastcall/policy"
)

// A memoryConn is a net.Conn that reads what it was given and then EOF, and keeps what is written.
type memoryConn struct {
	in  bytes.Reader
	out bytes.Buffer
}

func (c *memoryConn) Read(p []byte) (int, error)     { return c.in.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error)    { return c.out.Write(p) }
func (*memoryConn) Close() error                     { return nil }
func (*memoryConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*memoryConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*memoryConn) SetDeadline(time.Time) error      { return nil }
func (*memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (*memoryConn) SetWriteDeadline(time.Time) error { return nil }

// framing is how gobwas divides bytes into frames.
type framing struct {
	boundary  bool // the bytes end where a frame ends
	valid     bool // no frame is invalid
	inMessage bool // the bytes end inside a fragmented message
	closed    bool // they have a whole Close, after which nothing was read
}

// gobwasReads reads the frames that side receives. It stops at the first that is invalid.
func gobwasReads(b []byte, side gobwas.State) framing {
	got := framing{boundary: true, valid: true}
	r := bytes.NewReader(b)
	for r.Len() > 0 && !got.closed {
		got.boundary = false
		before := r.Len()
		h, err := gobwas.ReadHeader(r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return got
		}
		// Extensions may use the reserved bits of data frames, and the order of fragments is up to
		// the handler.
		state := side
		if !h.OpCode.IsControl() {
			state = state.Set(gobwas.StateExtended)
		}
		if h.OpCode == gobwas.OpContinuation {
			state = state.Set(gobwas.StateFragmented)
		}
		if side.ClientSide() { // of what the handler sends, only what can't be read counts as invalid
			state = state.Set(gobwas.StateExtended)
		}
		// gobwas accepts a control frame whose length takes more bytes than it needs, which RFC
		// 6455, section 5.2, forbids.
		shortest := 2
		if h.Masked {
			shortest += len(h.Mask)
		}
		long := h.OpCode.IsControl() && before-r.Len() > shortest
		if err != nil || long || gobwas.CheckHeader(h, state) != nil {
			got.valid = false
			return got
		}
		if int64(r.Len()) < h.Length {
			return got
		}
		_, _ = r.Seek(h.Length, io.SeekCurrent)
		got.boundary = true
		got.closed = h.OpCode == gobwas.OpClose
		if !h.OpCode.IsControl() {
			got.inMessage = !h.Fin
		}
	}
	return got
}

// FuzzAgainstGobwas writes any bytes through a Conn, and reads any bytes through one, in pieces of
// any size, and has gobwas/ws read them too. A farewell is sent only where gobwas sees the end of a
// frame, and the peer has answered when gobwas has read a Close.
func FuzzAgainstGobwas(f *testing.F) {
	for _, seed := range []string{
		"", "\x81", "\x81\x02hi", "\x81\x02h", "\x81\x02hi\x01\x01a", "\x01\x01a\x89\x00\x80\x00", "\x88\x00", "\x88\x02\x03\xe8",
		"\x88\x00\x81\x00", "\x82\x7e\x00\x02hi", "\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x02hi", "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x02hi",
		"\xc1\x01a", "\xc8\x00", "\x83\x00", "\x8b\x00", "\x08\x00", "\x89\x7e\x00\x7e", "\x81\x82keyshi", "\x81\x82keyshi\x88\x80keys",
		"\x88\x80keys", "\x89\xfe\x00\x7ekeys", "\x88\x80key", "\x88\x0070", "\x89~\x000", "\xb9\x80keys", "\x81\xfe\x00\x01keysx\x88\x82keysab",
	} {
		f.Add([]byte(seed), uint8(1), true)
		f.Add([]byte(seed), uint8(100), false)
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8, message bool) {
		farewell := policy.Farewell{Code: 4321, Reason: "now"}
		if message {
			farewell.Message, farewell.Binary = "last", piece%2 == 0
		}
		cut := func(use func(p []byte)) {
			for rest := stream; len(rest) > 0; {
				n := min(len(rest), 1+int(piece))
				use(rest[:n])
				rest = rest[n:]
			}
		}

		t.Run("outgoing", func(t *testing.T) {
			inner := &memoryConn{}
			c := wsconn.New(inner, wsconn.Options{Upgraded: true})
			cut(func(p []byte) {
				n, err := c.Write(p)
				require.NoError(t, err)
				require.Equal(t, len(p), n)
			})
			require.Equal(t, string(stream), inner.out.String(), "what is written is what goes out")
			theirs := gobwasReads(stream, gobwas.StateClientSide)
			ours := c.State()
			assert.Equal(t, theirs.closed, ours.HandlerSentClose)
			if !theirs.closed { // after its Close a handler may send anything
				assert.Equal(t, theirs.valid, !ours.Lost)
			}

			c.Farewell(farewell, 0)
			may := theirs.boundary && theirs.valid && !theirs.closed
			require.Equal(t, may && (!message || !theirs.inMessage), c.State().FarewellWritten)
			c.DropMessage()
			require.Equal(t, may, c.State().FarewellWritten)
			if !may {
				require.Equal(t, string(stream), inner.out.String())
				return
			}
			farewellFrames := bytes.NewReader(inner.out.Bytes()[len(stream):])
			if message && !theirs.inMessage {
				last, err := gobwas.ReadFrame(farewellFrames)
				require.NoError(t, err)
				assert.Equal(t, "last", string(last.Payload))
				assert.Equal(t, farewell.Binary, last.Header.OpCode == gobwas.OpBinary)
				assert.Equal(t, !farewell.Binary, last.Header.OpCode == gobwas.OpText)
			}
			end, err := gobwas.ReadFrame(farewellFrames)
			require.NoError(t, err)
			assert.Zero(t, farewellFrames.Len())
			assert.Equal(t, gobwas.NewCloseFrame(gobwas.NewCloseFrameBody(4321, "now")), end)
		})
		t.Run("incoming", func(t *testing.T) {
			inner := &memoryConn{}
			c := wsconn.New(inner, wsconn.Options{Upgraded: true})
			var got []byte
			buf := make([]byte, 1+int(piece))
			cut(func(p []byte) {
				inner.in.Reset(p)
				for inner.in.Len() > 0 {
					n, err := c.Read(buf)
					require.NoError(t, err)
					got = append(got, buf[:n]...)
				}
			})
			require.Equal(t, string(stream), string(got), "what is read is what came")
			assert.Equal(t, gobwasReads(stream, gobwas.StateServerSide).closed, c.State().PeerSentClose)
		})
	})
}
