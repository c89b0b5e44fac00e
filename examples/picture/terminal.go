package main

import (
	"strings"
	"time"
)

const columns = 109 // the width of a terminal

// A terminal is what one run showed.
type terminal struct {
	title string
	rows  []row
	stop  time.Duration // when the server was told to stop
	end   time.Duration // of the run
}

// A row is a line of a terminal, which may be overwritten: its versions follow each other.
type row []version

// A version is what a row shows from a moment on.
type version struct {
	from time.Duration
	text string
}

// stopLine is part of the line that the demonstration writes when it stops the server.
const stopLine = "all clients have received something; stopping"

// replay feeds chunks to a terminal on which command has been entered. It knows what examples/live
// writes: text, CR, LF, and ESC [K, which erases the rest of a line.
func replay(title, command string, written []chunk) terminal {
	t := terminal{title: title, rows: []row{{{0, "$ " + command}}}}
	screen, column := []string{"$ " + command, ""}, 0
	for _, c := range written {
		for text := c.text; text != ""; {
			last := &screen[len(screen)-1]
			switch rest, erase := strings.CutPrefix(text, "\x1b[K"); {
			case erase:
				*last, text = string([]rune(*last)[:column]), rest
				continue
			case text[0] == '\r':
				column = 0
			case text[0] == '\n':
				screen, column = append(screen, ""), 0
			default:
				r, size := firstRune(text)
				if column == columns {
					screen, column = append(screen, ""), 0
					last = &screen[len(screen)-1]
				}
				*last = overwrite(*last, column, r)
				column++
				text = text[size:]
				continue
			}
			text = text[1:]
		}
		t.note(c.at, screen)
		if t.stop == 0 && strings.Contains(c.text, stopLine) {
			t.stop = c.at
		}
		t.end = c.at
	}
	return t
}

func firstRune(s string) (r rune, size int) {
	r = []rune(s)[0]
	return r, len(string(r))
}

// overwrite returns line with r at a column, which is at most the line's length.
func overwrite(line string, column int, r rune) string {
	runes := []rune(line)
	if column < len(runes) {
		runes[column] = r
		return string(runes)
	}
	return line + string(r)
}

// note adds a version to each row that shows something else than before.
func (t *terminal) note(at time.Duration, screen []string) {
	for i, text := range screen {
		text = strings.TrimRight(text, " ")
		if i == len(t.rows) {
			if text == "" && i == len(screen)-1 {
				return // only the cursor is there
			}
			t.rows = append(t.rows, nil)
		}
		r := &t.rows[i]
		if len(*r) == 0 || (*r)[len(*r)-1].text != text {
			*r = append(*r, version{at, text})
		}
	}
}
