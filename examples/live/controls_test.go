package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestControls(t *testing.T) {
	cfg, err := parse(nil, io.Discard)
	require.NoError(t, err)
	g, err := newGraceful(cfg, slog.New(slog.DiscardHandler), &screen{out: os.Stderr})
	require.NoError(t, err)
	past := newHistory(slog.New(slog.DiscardHandler))
	board := newDashboard(func() int { return g.status().Open.all() })
	srv := httptest.NewServer(routes(g, newChat(past), board))
	defer func() {
		assert.NoError(t, g.drainer.Close())
		srv.Close()
		past.close()
		assert.NoError(t, board.close(t.Context()))
	}()
	post := func(path string, header ...string) (int, string) {
		r, err := http.NewRequest(http.MethodPost, srv.URL+"/operator/"+path, nil)
		require.NoError(t, err)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res, err := srv.Client().Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, strings.TrimSpace(string(body))
	}
	ready := func() bool {
		res, err := srv.Client().Get(srv.URL + "/readyz")
		require.NoError(t, err)
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}

	events, err := srv.Client().Get(srv.URL + "/events?stream=metrics")
	require.NoError(t, err)
	defer events.Body.Close()
	status, said := post("shed")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "1 picked: 1 told, 0 unanswered, 0 cut", said)
	text, err := io.ReadAll(events.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "Go's client is no EventSource, and is broken off to come back")
	assert.Contains(t, string(text), "event: shutdown\n")

	status, _ = post("drain", "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusForbidden, status, "another site's page may not")
	assert.True(t, ready())
	status, said = post("drain")
	assert.Equal(t, http.StatusOK, status, said)
	assert.False(t, ready())
	status, said = post("shed")
	assert.Equal(t, http.StatusConflict, status, said)
	status, said = post("resume")
	assert.Equal(t, http.StatusOK, status, said)
	assert.True(t, ready())

	g.drainer.Start()
	status, said = post("resume")
	assert.Equal(t, http.StatusConflict, status)
	assert.Contains(t, said, "final")
}
