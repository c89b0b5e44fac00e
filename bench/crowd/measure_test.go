package main

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The command with fewer streams. Bounds that a busy machine can exceed are only logged.
func TestMeasure(t *testing.T) {
	for name, args := range map[string]string{
		"half and half": "-streams 1000 -spread 2s -every 500ms",
		"some stuck":    "-streams 1000 -spread 2s -every 500ms -websockets 0.2 -stuck 50",
		"squeezed":      "-streams 1000 -spread 10s -every 500ms -budget 2s",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parse(strings.Fields(args), t.Output())
			require.NoError(t, err)
			f, err := c.measure(context.Background())
			require.NoError(t, err)
			lines := f.judge()
			f.print(t.Output(), lines)
			for _, l := range lines {
				assert.True(t, l.ok || l.clock, "%s: %s, should be %s", l.what, l.figure, l.bound)
			}
			assert.Len(t, f.results, c.streams)
			assert.Len(t, f.cuts, c.stuck)
			if f.squeezed() {
				assert.Less(t, f.took, c.spread)
			}
		})
	}
}

// Clients that can't connect end the run at once, with the reason.
func TestMeasureWithoutServer(t *testing.T) {
	c, err := parse([]string{"-streams", "4"}, t.Output())
	require.NoError(t, err)
	s, err := startServer(c, c.newDrainer())
	require.NoError(t, err)
	s.close()
	_, err = startClients(t.Context(), c, s.addr)
	assert.ErrorContains(t, err, "its 2 clients")
}
