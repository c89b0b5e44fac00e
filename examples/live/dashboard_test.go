package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware/draintest"
)

func TestDashboard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDashboard(func() int { return 42 })
		t.Cleanup(func() { assert.NoError(t, d.close(context.Background())) }) // after the server has gone
		p := inMemory(t, d)
		conn := dial(t, p)
		defer conn.Close()
		fmt.Fprint(conn, "GET /events?stream=metrics HTTP/1.1\r\nHost: live\r\nLast-Event-ID: not-a-number\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode)
		assert.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))

		events := 0
		began := time.Now()
		for lines := bufio.NewScanner(res.Body); events < 20 && lines.Scan(); {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			events++
			var figures struct{ Goroutines, Heap, Open uint64 }
			require.NoError(t, json.Unmarshal([]byte(data), &figures))
			assert.NotZero(t, figures.Goroutines)
			assert.NotZero(t, figures.Heap)
			assert.EqualValues(t, 42, figures.Open)
		}
		assert.InDelta(t, 2, time.Since(began).Seconds(), 0.15, "10 events a second")
	})
}

func TestDashboardHasOneStream(t *testing.T) {
	d := newDashboard(func() int { return 0 })
	defer func() { assert.NoError(t, d.close(context.Background())) }()
	for _, query := range []string{"", "?stream=other"} {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/events"+query, nil))
		assert.Equal(t, http.StatusNotFound, w.Code)
		assert.Contains(t, w.Body.String(), `the only stream is "metrics"`)
	}
}

func TestStuckReaderDoesNotStopTheDashboard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDashboard(func() int { return 0 })
		t.Cleanup(func() { assert.NoError(t, d.close(context.Background())) })
		p := inMemory(t, d)
		const request = "GET /events?stream=metrics HTTP/1.1\r\nHost: live\r\n\r\n"
		stuck, err := draintest.Stuck(p.Dial, "", "GET /events?stream=metrics")
		require.NoError(t, err)
		defer stuck.Close()

		conn := dial(t, p)
		defer conn.Close()
		fmt.Fprint(conn, request)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		events := 0
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "data: ") {
				events++
			}
		}
		assert.InDelta(t, 600, events, 5, "10 events a second for a minute")
	})
}
