package main

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

// TestMain plays the roles of the other processes too, which are this program again.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

func TestFlags(t *testing.T) {
	for args, wrong := range map[string]string{
		"-streams 0":      "-streams is 0",
		"-websockets 1.5": "-websockets is 1.5",
		"-websockets NaN": "-websockets is NaN",
		"-mercy 0s":       "-mercy is 0s",
		"-rounds 0":       "-rounds is 0",
		"-pause -1s":      "-pause is -1s",
		"-atonce":         "not defined",
		"2000":            `unexpected argument "2000"`,
	} {
		var out, errs strings.Builder
		assert.Equal(t, exitUsage, run(strings.Fields(args), &out, &errs), args)
		assert.Contains(t, errs.String(), wrong)
		assert.Equal(t, 1, strings.Count(errs.String(), "\n"), "%s: one line", args)
		assert.Empty(t, out.String())
	}
	var out, errs strings.Builder
	assert.Equal(t, exitOK, run([]string{"-h"}, &out, &errs))
	assert.Contains(t, out.String(), "-streams")
	assert.Empty(t, errs.String())
}

// Every stream of either server is told, and its client sees that.
func TestRun(t *testing.T) {
	var out, errs strings.Builder
	assert.Equal(t, exitOK, run(strings.Fields("-streams 300 -rounds 1"), &out, &errs))
	assert.Contains(t, out.String(), "300 streams, 150 of them WebSockets, told at once; mercy 1s;")
	assert.Empty(t, errs.String())
	t.Logf("%s", out.String())
}

// Clients accept a farewell with a clean end, and nothing else.
func TestFollow(t *testing.T) {
	const bye = "32\r\nretry: 2413\nevent: shutdown\ndata: {\"retry\":2413}\n\n\r\n"
	const closing = "\x88\x1d\x03\xf4service restart; retry=1500"
	for sent, want := range map[string]struct{ told, clean bool }{
		bye + "0\r\n\r\n":                    {true, true},
		bye:                                  {true, false},
		"0\r\n\r\n":                          {false, false},
		"9\r\ndata: 1\n\n\r\n" + "0\r\n\r\n": {false, false},
		"":                                   {false, false},
		closing:                              {true, true},
		closing[:8]:                          {false, false},
		"\x81\x011":                          {false, false},
		"\x88\x1d\x03\xe9" + closing[4:]:     {false, false},
		closing + "\x81\x011":                {true, false},
	} {
		c := &client{conn: &script{Reader: strings.NewReader(sent)}, socket: strings.HasPrefix(sent, "\x88") || strings.HasPrefix(sent, "\x81")}
		c.follow()
		if !strings.HasSuffix(sent, "\x81\x011") { // a Close frame may be read alone or not
			assert.Equal(t, want.told, c.told, "%q", sent)
		}
		assert.Equal(t, want.clean, c.fault == nil, "%q: %v", sent, c.fault)
		assert.False(t, c.ended.IsZero())
	}
	c := &client{conn: &script{Reader: failing{}}}
	c.follow()
	assert.ErrorContains(t, c.fault, "reset")
}

// A script is a connection that reads what it is given, and takes what is written to it.
type script struct {
	net.Conn
	io.Reader
}

func (s *script) Read(p []byte) (int, error) { return s.Reader.Read(p) }
func (*script) Write(p []byte) (int, error)  { return len(p), nil }
func (*script) Close() error                 { return nil }

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("reset") }
