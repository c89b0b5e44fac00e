package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// asChild is set in the environment of a test binary that is to be the command itself.
const asChild = "LASTCALL_LIVE_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.DiscardHandler)

func TestParse(t *testing.T) {
	got, err := parse(nil, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, config{addr: ":8080", budget: 25 * time.Second, clients: 200}, got)

	got, err = parse([]string{"-addr", "[::1]:80", "-budget", "5s", "-announce=1s", "-bare", "-clients=7"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, config{
		addr: "[::1]:80", budget: 5 * time.Second, announce: time.Second, bare: true, clients: 7,
	}, got)

	got, err = parse([]string{"-demo", "-addr", ":80"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:0", got.addr, "a demonstration takes a free port on loopback")

	var usage bytes.Buffer
	_, err = parse([]string{"-h"}, &usage)
	assert.ErrorIs(t, err, flag.ErrHelp)
	for _, name := range []string{"addr", "announce", "bare", "budget", "clients", "demo", "policy", "rules"} {
		assert.Contains(t, usage.String(), "  -"+name)
	}
}

func TestBudgetReachesTheDrainer(t *testing.T) {
	g, err := newGraceful(config{budget: 9 * time.Second, announce: 2 * time.Second}, quiet, &screen{})
	require.NoError(t, err)
	assert.Equal(t, 9*time.Second, g.drainer.Budget.Total)
	assert.Equal(t, 2*time.Second, g.drainer.Budget.Announce)

	_, err = newGraceful(config{budget: 3 * time.Second}, quiet, &screen{})
	assert.ErrorContains(t, err, `route "/ws" needs 3s`)
	_, err = newGraceful(config{budget: 4 * time.Second}, quiet, &screen{})
	assert.NoError(t, err, "the least budget that README and flags speak of")
}

func TestListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()

	_, err = listen(taken.Addr().String())
	require.Error(t, err)
	assert.Equal(t, "address "+taken.Addr().String()+
		" is in use: stop what listens there or choose another with -addr", err.Error())

	_, err = listen("nonsense")
	assert.ErrorContains(t, err, `can't listen on -addr "nonsense"`)
}

func TestOneLine(t *testing.T) {
	assert.Equal(t, "a; b", oneLine(errors.Join(errors.New("a"), errors.New("b")).Error()))
}
