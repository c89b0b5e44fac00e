package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPrintReport(t *testing.T) {
	var out bytes.Buffer
	printReport(&out, summary{by: "lastcall", took: 1234567 * time.Microsecond, rows: []row{
		{"found", 120, "finite 40, sse 80"}, {"cut", 0, "by force"},
	}})
	assert.Equal(t, `
WHAT THE SERVER REPORTS (lastcall, 1.235s)
found  120  finite 40, sse 80
cut    0    by force
`, out.String())
}

func TestPrintResults(t *testing.T) {
	told := func(client, event string, retry int) result {
		return result{kind: client, event: event, retry: time.Duration(retry) * time.Millisecond}
	}
	reset := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	var out bytes.Buffer
	printResults(&out, []result{
		{kind: "download", bytes: 10},
		told("dashboard", "shutdown", 3000),
		{kind: "websocket", err: errors.New("1006")},
		{kind: "websocket", code: 1012, reason: "retry=1000", retry: time.Second},
		{kind: "websocket", code: 1012, reason: "retry=1500", retry: 1500 * time.Millisecond},
		{kind: "dashboard", err: io.ErrUnexpectedEOF},
		{kind: "dashboard", err: reset},
		told("dashboard", "shutdown", 1000),
		told("dashboard", "shutdown", 1000),
		told("answer", "done", 0),
	})
	assert.Equal(t, `
WHAT THE CLIENTS SAW
websocket  2  close 1012 "retry=…"                              retry: 2 values, 1s to 1.5s
websocket  1  1006, no close frame                              
dashboard  3  event "shutdown", clean end                       retry: 2 values, 1s to 3s
dashboard  1  no last event, cut off: unexpected EOF            
dashboard  1  no last event, cut off: connection reset by peer  
answer     1  event "done", clean end                           
download   1  10 bytes, clean end                               
`, out.String())
}
