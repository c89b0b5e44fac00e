package wsconn

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestFarewellAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		asked := p.farewell()
		p.blocked(asked, "a farewell that isn't read")
		assert.False(t, p.State().FarewellWritten)
		p.sees(byeText, byeClose)
		p.returned(asked, 0, nil)
		assert.Equal(t, State{FarewellWritten: true}, p.State())

		p.returned(do(func() { p.Farewell(policy.Farewell{Code: 1001}, 0) }), 0, nil) // the first stands
		p.returned(p.writing(text("swallowed")), 11, nil)
		p.returned(p.writing(closeFrame(1000, "mine")), 8, nil)
		assert.False(t, p.State().HandlerSentClose, "what is swallowed isn't sent")

		read := p.reading()
		p.returned(p.says(peerClose(1012)), 8, nil)
		p.returned(read, 8, nil)
		assert.True(t, p.State().PeerSentClose)
		p.returned(p.reading(), 0, errEOF)
	})
}

func TestFarewellWaitsForTheWriter(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		wrote := p.writing(text("hello"))
		p.sees(text("hello")[:3])
		p.returned(p.farewell(), 0, nil) // waits for nobody
		p.blocked(wrote, "a Write in the middle of a frame")
		p.sees(text("hello")[3:])
		p.blocked(wrote, "the Write that says the farewell")
		assert.False(t, p.State().FarewellWritten)
		p.sees(byeText, byeClose)
		p.returned(wrote, 7, nil)
		assert.True(t, p.State().FarewellWritten)
	})
}

func TestFarewellWaitsForTheRestOfAFrame(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		header, payload := text("hello")[:2], text("hello")[2:]
		wrote := p.writing(header)
		p.sees(header)
		p.returned(wrote, 2, nil)
		p.returned(p.farewell(), 0, nil)
		wrote = p.writing(append(payload, text("swallowed")...))
		p.sees(payload, byeText, byeClose)
		p.returned(wrote, 16, nil)
	})
}

// TestFarewellReplacesOneThatWaits: only what was asked for last is written.
func TestFarewellReplacesOneThatWaits(t *testing.T) {
	inner := &tape{}
	c := New(inner, Options{Upgraded: true})
	_, _ = c.Write(text("hello")[:3])
	c.Farewell(policy.Farewell{Code: 1001}, 0)
	c.Farewell(bye, 0)
	_, _ = c.Write(text("hello")[3:])
	c.Farewell(policy.Farewell{Code: 1001}, 0)
	assert.Equal(t, join(text("hello"), byeText, byeClose), inner.out)
}

// TestFarewellThatIsTakenBack: it is not written, the handler goes on and loses nothing, and
// another can be asked for.
func TestFarewellThatIsTakenBack(t *testing.T) {
	for name, cuts := range map[string][2]int{
		"at the boundary": {0, 7}, "while it waits for one": {3, 7}, "within a Write": {3, 9},
	} {
		t.Run(name, func(t *testing.T) {
			allowed := false
			inner := &tape{}
			c := New(inner, Options{Upgraded: true, BeforeFarewell: func() bool { return allowed }})
			both := join(text("hello"), text("more"))
			_, _ = c.Write(both[:cuts[0]])
			c.Farewell(policy.Farewell{Code: 1001}, 0)
			n, err := c.Write(both[cuts[0]:cuts[1]])
			require.NoError(t, err)
			require.Equal(t, cuts[1]-cuts[0], n)
			_, _ = c.Write(both[cuts[1]:])
			assert.Equal(t, both, inner.out)
			allowed = true
			c.DropMessage()
			assert.Equal(t, both, inner.out, "it was forgotten")
			c.Farewell(policy.Farewell{Code: 1001, Reason: "bye"}, 0)
			assert.Equal(t, join(both, closeFrame(1001, "bye")), inner.out)
		})
	}
}

// TestFarewellIsExpanded: what a rule leaves out is filled in, and {retry} is the client's own
// slot.
func TestFarewellIsExpanded(t *testing.T) {
	for _, test := range []struct {
		farewell policy.Farewell
		want     []byte
	}{
		{policy.Farewell{}, closeFrame(1012, "service restart; retry=1234")},
		{policy.Farewell{Code: 4000, Reason: "in {retry}", Message: "{retry} ms"}, join(text("1234 ms"), closeFrame(4000, "in 1234"))},
	} {
		inner := &tape{}
		New(inner, Options{Upgraded: true}).Farewell(test.farewell, 1234*time.Millisecond)
		assert.Equal(t, string(test.want), string(inner.out))
	}
}

func TestFarewellAfterTheHead(t *testing.T) {
	const head = "HTTP/1.1 101 Switching Protocols\r\n\r\n"
	inner := &tape{}
	c := New(inner, Options{})
	c.Farewell(bye, 0)
	for _, b := range []string{head[:20], head[20:] + string(text("swallowed"))} {
		n, err := c.Write([]byte(b))
		require.NoError(t, err)
		require.Equal(t, len(b), n)
	}
	assert.Equal(t, head+string(byeText)+string(byeClose), string(inner.out))
}

func TestMessageWaitsForItsBoundary(t *testing.T) {
	first, ping, last := encode(0x01, false, []byte("a")), encode(0x89, false, nil), encode(0x80, false, []byte("b"))

	t.Run("and comes after the last fragment", func(t *testing.T) {
		inner := &tape{}
		c := New(inner, Options{Upgraded: true})
		for _, b := range [][]byte{first, ping, last, text("swallowed")} {
			n, err := c.Write(b)
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			c.Farewell(bye, 0)
		}
		assert.Equal(t, join(first, ping, last, byeText, byeClose), inner.out)
	})
	t.Run("but a Close alone does not", func(t *testing.T) {
		inner := &tape{}
		c := New(inner, Options{Upgraded: true})
		_, _ = c.Write(first)
		c.Farewell(policy.Farewell{Code: bye.Code, Reason: bye.Reason}, 0)
		assert.Equal(t, join(first, byeClose), inner.out)
	})
	t.Run("and is left out when it can wait no longer", func(t *testing.T) {
		inner := &tape{}
		c := New(inner, Options{Upgraded: true})
		_, _ = c.Write(first)
		c.Farewell(bye, 0)
		_, _ = c.Write(ping)
		assert.Equal(t, join(first, ping), inner.out)
		c.DropMessage()
		c.DropMessage()
		_, _ = c.Write(last)
		assert.Equal(t, join(first, ping, byeClose), inner.out)
	})
	t.Run("and is left out when the handler's time is over", func(t *testing.T) {
		inner := &tape{}
		c := New(inner, Options{Upgraded: true})
		_, _ = c.Write(first)
		c.Farewell(bye, 0)
		c.Finish() // nobody has insisted
		assert.Equal(t, join(first, byeClose), inner.out)
	})
	t.Run("and is not left out of a later one", func(t *testing.T) {
		inner := &tape{}
		c := New(inner, Options{Upgraded: true})
		_, _ = c.Write(first[:2])
		c.Farewell(bye, 0)
		c.DropMessage()
		c.Farewell(bye, 0) // the first was let off before it met a boundary
		_, _ = c.Write(join(first[2:], last))
		assert.Equal(t, join(first, last, byeText, byeClose), inner.out)
	})
	t.Run("and is left out by the Write that was under way", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *pair) {
			wrote := p.writing(first)
			p.sees(first[:1])
			p.returned(p.farewell(), 0, nil)
			p.returned(do(p.DropMessage), 0, nil)
			p.sees(first[1:], byeClose)
			p.returned(wrote, 3, nil)
		})
	})
}

func TestOwnCloseStands(t *testing.T) {
	own := closeFrame(1000, "mine")
	for name, test := range map[string]struct {
		pieces [][]byte
		ask    int  // before or while which piece is written
		within bool // while
	}{
		"asked within it":         {pieces: [][]byte{own[:3], own[3:]}, ask: 1},
		"asked while it is sent":  {pieces: [][]byte{own}, ask: 0, within: true},
		"asked while some is":     {pieces: [][]byte{own[:1], own[1:]}, ask: 0, within: true},
		"asked after it":          {pieces: [][]byte{own, nil}, ask: 1},
		"asked amid, with a text": {pieces: [][]byte{encode(0x01, false, nil), own}, ask: 1},
	} {
		t.Run(name, func(t *testing.T) {
			inner := &tape{}
			c := New(inner, Options{Upgraded: true})
			for i, p := range test.pieces {
				ask := func() {
					inner.during = nil
					if i == test.ask {
						c.Farewell(bye, 0)
					}
				}
				if test.within {
					inner.during = ask
				} else {
					ask()
				}
				n, err := c.Write(p)
				require.NoError(t, err)
				require.Equal(t, len(p), n)
			}
			c.Farewell(bye, 0)
			c.DropMessage()
			assert.Equal(t, join(test.pieces...), inner.out)
			assert.Equal(t, State{HandlerSentClose: true}, c.State())
		})
	}
}

func TestNeverWrittenInto(t *testing.T) {
	for name, b := range map[string]string{
		"refused upgrade": "HTTP/1.1 400 Bad Request\r\n\r\nbad",
		"other protocol":  "PRI * HTTP/2.0\r\n\r\n",
		"masked frame":    "HTTP/1.1 101 \r\n\r\n" + string(encode(0x81, true, []byte("x"))),
	} {
		t.Run(name, func(t *testing.T) {
			inner := &tape{}
			c := New(inner, Options{})
			n, err := c.Write([]byte(b))
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			assert.True(t, c.State().Lost)
			c.Farewell(bye, 0)
			c.DropMessage()
			_, _ = c.Write(text("more"))
			c.Finish()
			assert.Equal(t, b+string(text("more")), string(inner.out))
			assert.False(t, c.State().FarewellWritten)
		})
	}
}

func TestHalfClosedIsNeverWrittenInto(t *testing.T) {
	inner := &tape{}
	c := New(inner, Options{Upgraded: true})
	require.NoError(t, c.Handle().(interface{ CloseWrite() error }).CloseWrite())
	c.Farewell(bye, 0)
	_, err := c.Write(text("an error, on a socket"))
	require.NoError(t, err)
	assert.Equal(t, text("an error, on a socket"), inner.out, "what that means is the socket's to say")
	assert.Equal(t, []string{"CloseWrite"}, inner.calls)
}

// TestFarewellAfterTheEnd has the end come in between the look for a boundary and the farewell's
// first byte.
func TestFarewellAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(*Conn){
		"Close":      func(c *Conn) { c.state.HandlerClosed = true },
		"CloseWrite": func(c *Conn) { c.writesEnded = true },
		"Cut":        func(c *Conn) { c.innerClosing = true },
		"a farewell": func(c *Conn) { c.farewellBegun = true },
	} {
		t.Run(name, func(t *testing.T) {
			inner := &tape{}
			c := New(inner, Options{Upgraded: true})
			end(c)
			c.writeFarewell(&bye)
			assert.Empty(t, inner.out)
			assert.Empty(t, inner.calls)
			assert.False(t, c.State().FarewellWritten)
		})
	}
}

func TestFailedWrites(t *testing.T) {
	broken := errors.New("broken")

	t.Run("the handler's: what went out counts", func(t *testing.T) {
		inner := &tape{fail: broken}
		c := New(inner, Options{Upgraded: true})
		n, err := c.Write(append(text("hello"), text("again")...))
		assert.ErrorIs(t, err, broken)
		assert.Equal(t, 7, n)
		inner.fail = nil
		c.Farewell(bye, 0)
		assert.Equal(t, join(text("hello"), byeText, byeClose), inner.out)
	})
	t.Run("the handler's: what didn't go out doesn't", func(t *testing.T) {
		inner := &tape{fail: broken}
		c := New(inner, Options{Upgraded: true})
		_, _ = c.Write(text("hello"))
		inner.fail = nil
		c.Farewell(bye, 0)
		assert.Equal(t, text("hello")[:3], inner.out)
	})
	t.Run("the handler's, with a farewell asked meanwhile: it hears its error", func(t *testing.T) {
		inner := &tape{fail: broken}
		c := New(inner, Options{Upgraded: true})
		inner.during = func() { inner.during = nil; c.Farewell(bye, 0) }
		n, err := c.Write(append(text("hello"), text("again")...))
		assert.ErrorIs(t, err, broken)
		assert.Equal(t, 7, n)
		assert.Equal(t, text("hello"), inner.out)
		inner.fail = nil
		c.DropMessage()
		assert.Equal(t, join(text("hello"), byeClose), inner.out, "whoever asks next says it")
	})
	t.Run("the frame before the farewell: it hears its error", func(t *testing.T) {
		inner := &tape{}
		c := New(inner, Options{Upgraded: true})
		_, _ = c.Write(text("hello")[:1])
		c.Farewell(bye, 0)
		inner.fail = broken
		n, err := c.Write(append(text("hello")[1:], text("again")...))
		assert.ErrorIs(t, err, broken)
		assert.Equal(t, 3, n)
		assert.False(t, c.State().FarewellWritten)
	})
	t.Run("ours: the connection is closed", func(t *testing.T) {
		inner := &tape{fail: broken}
		c := New(inner, Options{Upgraded: true})
		c.Farewell(bye, 0)
		assert.Equal(t, State{}, c.State())
		assert.True(t, inner.closed)
		_, err := c.Write(text("x"))
		assert.ErrorIs(t, err, errClosed)
	})
}

func TestWriteDeadlines(t *testing.T) {
	t.Run("are the handler's", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *pair) {
			require.NoError(t, p.SetWriteDeadline(time.Now().Add(time.Second)))
			wrote := p.writing(text("x"))
			p.blocked(wrote, "Write")
			time.Sleep(time.Second)
			p.returned(wrote, 0, errTimeout)
			require.NoError(t, p.SetDeadline(time.Time{}))
			wrote = p.writing(text("x"))
			p.sees(text("x"))
			p.returned(wrote, 3, nil)
		})
	})
	t.Run("long past, don't fail a farewell", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *pair) {
			require.NoError(t, p.SetWriteDeadline(time.Now().Add(-time.Hour)))
			asked := p.farewell()
			p.sees(byeText, byeClose)
			p.returned(asked, 0, nil)
		})
	})
	t.Run("set or cleared later, don't touch ours", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *pair) {
			asked := p.farewell()
			require.NoError(t, p.SetWriteDeadline(time.Now().Add(time.Second)))
			require.NoError(t, p.SetDeadline(time.Now().Add(time.Second)))
			time.Sleep(time.Hour)
			p.blocked(asked, "the farewell")
			assert.ErrorIs(t, p.reading().err, errTimeout, "the read deadline stands")
			p.sees(byeText, byeClose)
			p.returned(asked, 0, nil)
		})
	})
}

func TestManyWriters(t *testing.T) {
	// The second and the third wait for the first, which is stuck; the bubble would hang if they
	// did so on a mutex.
	inBubble(t, func(t *testing.T, p *pair) {
		one, two, three := p.writing(text("1")), p.writing(text("2")), p.writing(text("3"))
		p.sees(text("1")[:1])
		p.returned(p.farewell(), 0, nil)
		p.sees(text("1")[1:], byeText, byeClose)
		for _, w := range []*call{one, two, three} {
			p.returned(w, 3, nil)
		}
	})
}

func TestSwallowingWaitsForNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		asked := p.farewell()
		p.returned(p.writing(text("swallowed")), 11, nil)
		p.blocked(asked, "the farewell")
	})
}

func join(all ...[]byte) (b []byte) {
	for _, one := range all {
		b = append(b, one...)
	}
	return b
}
