package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unicode/utf8"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openTerminal opens a pseudo-terminal of that many columns: its own end, and that of programs. See
// pty(7) and ioctl_tty(2).
func openTerminal(t *testing.T, columns int) (ours, theirs *os.File) {
	t.Helper()
	control := func(f *os.File, request uintptr, arg unsafe.Pointer) {
		t.Helper()
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(arg))
		require.Zero(t, errno, errno)
	}
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { ours.Close() })
	var locked, number int32
	control(ours, syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	control(ours, syscall.TIOCGPTN, unsafe.Pointer(&number))
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	size := struct{ rows, columns, x, y uint16 }{rows: 24, columns: uint16(columns)}
	control(theirs, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	return ours, theirs
}

// A display shows what a program writes to a terminal. It knows what the command writes: text, CR,
// LF, and ESC [K, which erases the rest of a row.
type display struct {
	columns int
	rows    [][]rune
	full    []bool // the row goes on in the next
	column  int
	bars    []string // each live line that was seen
}

func (d *display) write(text string) {
	for text != "" {
		if d.rows == nil {
			d.rows, d.full = [][]rune{nil}, []bool{false}
		}
		row := &d.rows[len(d.rows)-1]
		if rest, erase := strings.CutPrefix(text, "\x1b[K"); erase {
			if strings.ContainsAny(string(*row), "█░") {
				d.bars = append(d.bars, string(*row))
			}
			*row, text = (*row)[:d.column], rest
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		switch r {
		case '\r':
			d.column = 0
			continue
		case '\n':
			d.rows, d.full = append(d.rows, nil), append(d.full, false)
			continue
		}
		if d.column == d.columns {
			d.full[len(d.full)-1] = true
			d.rows, d.full, d.column = append(d.rows, nil), append(d.full, false), 0
			row = &d.rows[len(d.rows)-1]
		}
		*row = append((*row)[:d.column], r)
		d.column++
	}
}

// lines returns what is shown, with rows that go on joined.
func (d *display) lines() string {
	var text strings.Builder
	for i, row := range d.rows {
		text.WriteString(string(row))
		if !d.full[i] {
			text.WriteByte('\n')
		}
	}
	return strings.TrimSuffix(text.String(), "\n") // the cursor's row is empty
}

// stopped runs the command with its output in out, until it has drained a dashboard and a download.
// said is called with what it has written, until it returns the address that the command listens
// on.
func stopped(t *testing.T, out *os.File, said func() string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-addr", "127.0.0.1:0", "-budget", "8s")
	cmd.Env = append(os.Environ(), asChild+"=1", "GORACE=atexit_sleep_ms=0", "TERM=xterm")
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	out.Close()
	listening := regexp.MustCompile(`msg=listening addr=(127\.0\.0\.1:\d+)\r?\n`)
	var addr string
	require.Eventually(t, func() bool {
		if m := listening.FindStringSubmatch(said()); m != nil {
			addr = m[1]
		}
		return addr != ""
	}, childLimit, progressTick/4)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var reading sync.WaitGroup
	for _, path := range []string{"/events?stream=metrics", "/download?bytes=1500000&rate=1000000"} {
		res, err := client.Get("http://" + addr + path)
		require.NoError(t, err)
		reading.Go(func() {
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body)
		})
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	reading.Wait()
	assert.NoError(t, cmd.Wait())
}

// ends is the report and the last line, with which the command's output ends.
var ends = regexp.MustCompile(`\ndrain done in \S+
cause: received signal: terminated
phases: .*canceling \S+
found: 1 finite, 1 sse; then 0 late \(0 refused\)
ended: 1 completed, 1 told \(1 broken\)
open: nothing
farewells: 1 from second \d to \d, at most 1 in one
by route:
  GET /download  finite http: 1 completed
  GET /events  infinite sse: 1 told \(1 broken\)
live: nothing was cut; all 2 responses ended in order within \S+
$`)

// On a terminal, a narrow one as well, the live line is overwritten as a whole, and the report is
// whole. Its rows have no more than 80 columns.
func TestOnATerminal(t *testing.T) {
	for columns, bar := range map[int]string{
		80: `^(announcing|draining  |canceling |done      ) [█░]{16} [012] open: finite [01], sse [01], ws 0  \d\.\ds left$`,
		40: `^(announcing|draining  |canceling |done      ) [█░]{5} [012] open  \ds left$`,
	} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			ours, theirs := openTerminal(t, columns)
			var mu sync.Mutex // guards written
			var written strings.Builder
			over := make(chan struct{})
			go func() {
				defer close(over)
				buf := make([]byte, 4096)
				for {
					n, err := ours.Read(buf)
					mu.Lock()
					written.Write(buf[:n])
					mu.Unlock()
					if err != nil { // EIO: no program has the terminal open any more
						return
					}
				}
			}()
			stopped(t, theirs, func() string {
				mu.Lock()
				defer mu.Unlock()
				return written.String()
			})
			<-over
			d := &display{columns: columns}
			d.write(written.String())
			shown := d.lines()
			assert.NotContains(t, shown, "\x1b")
			assert.NotRegexp(t, "[█░]", shown, "the live line is gone")
			assert.Regexp(t, ends, shown)
			require.NotEmpty(t, d.bars)
			for _, line := range d.bars {
				assert.Regexp(t, bar, line)
			}
			for line := range strings.Lines(ends.FindString(shown)) {
				assert.LessOrEqual(t, len(line)-1, 80)
			}
		})
	}
}

func TestIntoAFile(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	read := func() string {
		text, err := os.ReadFile(file.Name())
		require.NoError(t, err)
		return string(text)
	}
	stopped(t, file, read)
	assert.NotRegexp(t, "[\x00-\x09\x0b-\x1f█░]", read(), "plain lines: no escape codes, and no live line")
	assert.Regexp(t, ends, read())
}
