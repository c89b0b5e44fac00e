package sse

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// A Scanner follows the bytes of an event stream as they go out, cut into Writes anywhere, and knows whether another
// event may be put in after them. The zero Scanner stands at the start of a stream and is ready to use. It is a few
// bytes, keeps none of the stream but the start of a character, and never allocates. It is not safe for concurrent use;
// a copy of it is independent of it.
//
// Lines end in CR, LF or CRLF, and one byte order mark may come first (WHATWG HTML 9.2.5).
//
// Bytes that don't look like an event stream end the scan for good: a binary data byte anywhere (MIME Sniffing 3: any
// control but TAB, LF, FF, CR and ESC), or invalid UTF-8 in the first field's name, as compressed bytes have it. Such
// a Scanner is never at a boundary again. The grammar would let both pass, but an event too few is the lesser harm.
type Scanner struct {
	place   place
	head    head
	pending bool // a field line was begun since the last blank line
	cr      bool // the last byte was a CR: an LF right behind it belongs to it

	// The unfinished character at the head of the stream, kept until it can be judged.
	char  [utf8.UTFMax]byte
	chars uint8
}

type place uint8

const (
	lineStart place = iota
	inLine
	foreign // not an event stream
)

type head uint8

const (
	untouched head = iota // no character yet: a byte order mark may come
	naming                // in the name of the first field
	judged
)

// Write follows p, bytes that have gone out. It takes all of p and never fails.
func (s *Scanner) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		n += s.step(p[n:])
	}
	return len(p), nil
}

// AtBoundary reports whether an event may be put in here: at the start of a line with no field of an unfinished event
// pending. That is so at the start of the stream, after a blank line, and after comments that follow either.
//
// It is so after the lone CR of a blank line, too. Should an LF follow, it belongs to that CR: after an event that was
// put in between, it would be a blank line of its own, which does nothing.
func (s *Scanner) AtBoundary() bool {
	return s.place == lineStart && !s.pending
}

// Boundary looks ahead without changing s: it returns the length of the shortest prefix of p after which AtBoundary
// holds, 0 if it holds now, and -1 if it doesn't come to hold in p. A CRLF that ends the prefix is taken whole: cut
// between CR and LF would be as good by the grammar, but some clients, r3labs/sse's among them, look for "\r\n\r\n".
func (s Scanner) Boundary(p []byte) int {
	if s.AtBoundary() {
		return 0
	}
	for n := 0; n < len(p); {
		n += s.step(p[n:])
		if !s.AtBoundary() {
			continue
		}
		if s.cr && n < len(p) && p[n] == '\n' {
			n++
		}
		return n
	}
	return -1
}

// step follows p to behind its first line end, or wholly, and says how far it went. AtBoundary changes to true only
// where a step ends.
func (s *Scanner) step(p []byte) int {
	if s.place == foreign {
		return len(p)
	}
	if s.cr {
		s.cr = false
		if p[0] == '\n' {
			return 1
		}
	}
	if s.head != judged {
		if n := s.judge(p); n > 0 {
			return n
		}
	}
	if s.place == lineStart && p[0] != '\n' && p[0] != '\r' {
		s.place = inLine
		s.pending = s.pending || p[0] != ':'
	}
	for n := 0; ; n++ {
		i := indexControl(p[n:])
		if i < 0 {
			return len(p)
		}
		n += i
		switch p[n] {
		case '\n', '\r':
			s.endLine(p[n])
			return n + 1
		case '\t', '\f', 0x1b:
		default:
			s.place = foreign
			return len(p)
		}
	}
}

func (s *Scanner) endLine(end byte) {
	if s.place == lineStart {
		s.pending = false
	}
	s.place = lineStart
	s.cr = end == '\r'
}

// judge looks at the head of the stream, up to the end of the first name. It returns how much of p a byte order mark
// took, mostly 0. Until the mark is whole, its bytes pass for a field, so that nothing is put into it.
func (s *Scanner) judge(p []byte) int {
	for i, c := range p {
		if s.chars == 0 && c < utf8.RuneSelf {
			s.head = naming
			if c == ':' || c == '\n' || c == '\r' {
				s.head = judged
				return 0
			}
			continue
		}
		s.char[s.chars] = c
		s.chars++
		char := s.char[:s.chars]
		if !utf8.FullRune(char) {
			continue
		}
		s.chars = 0
		r, size := utf8.DecodeRune(char)
		if r == utf8.RuneError && size == 1 {
			s.place = foreign
			return len(p)
		}
		first := s.head == untouched
		s.head = naming
		if first && r == '\uFEFF' {
			s.place, s.pending = lineStart, false
			return i + 1
		}
	}
	return 0
}

// indexControl returns where the first byte below 0x20 is in p, or -1. It looks at eight bytes at once, so that one
// pass finds line ends of either sort and binary bytes, too.
func indexControl(p []byte) int {
	const (
		spaces = 0x2020202020202020
		tops   = 0x8080808080808080
	)
	n := 0
	for ; len(p)-n >= 8; n += 8 {
		// Each byte below 0x20 borrows in the subtraction, which sets its top bit. A borrow can make a byte above it
		// (further on) look like one, but never one below.
		w := binary.LittleEndian.Uint64(p[n:])
		if hit := (w - spaces) &^ w & tops; hit != 0 {
			return n + bits.TrailingZeros64(hit)/8
		}
	}
	for ; n < len(p); n++ {
		if p[n] < ' ' {
			return n
		}
	}
	return -1
}
