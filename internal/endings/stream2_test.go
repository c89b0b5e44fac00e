package endings

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"golang.org/x/net/http2"
)

// takeHeader takes a header, of the response or behind its body.
func (s *h2Stream) takeHeader(f *http2.MetaHeadersFrame) (fault string) {
	header := http.Header{}
	for _, field := range f.RegularFields() {
		if slices.Contains([]string{"connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"}, field.Name) {
			return "a field that is HTTP/1's"
		}
		header.Add(field.Name, field.Value)
	}
	switch pseudo := f.PseudoFields(); {
	case s.ended:
		return "behind the end"
	case s.header != nil: // trailers
		if len(pseudo) > 0 || !f.StreamEnded() {
			return "a second header"
		}
		return s.end()
	case len(pseudo) != 1 || len(pseudo[0].Value) != 3:
		return "not one status"
	}
	status, err := strconv.Atoi(f.PseudoValue("status"))
	switch {
	case err != nil || status < 100 || status == http.StatusSwitchingProtocols:
		return "a status that can't be"
	case status < 200:
		return must(!f.StreamEnded(), "an end behind an informational status")
	}
	s.status, s.header = status, header
	if length := header["Content-Length"]; len(length) > 0 {
		if s.length, err = strconv.ParseInt(length[0], 10, 64); err != nil || len(length) > 1 || s.length < 0 {
			return "a length that can't be"
		}
	}
	if f.StreamEnded() {
		return s.end()
	}
	return ""
}

func (s *h2Stream) takeData(p []byte, ended bool) (fault string) {
	s.got += int64(len(p))
	switch {
	case s.ended:
		return "behind the end"
	case s.header == nil:
		return "before the header"
	case len(p) > 0 && s.noBody():
		return "where no body may be"
	case s.length >= 0 && s.got > s.length:
		return "more than declared"
	}
	s.in = append(s.in, p...)
	if ended {
		return s.end()
	}
	return ""
}

// hasBody reports whether the request has one.
func (s *h2Stream) hasBody() bool { return s.x.upload > 0 || s.x.upgrade != "" }

// noBody reports whether the response has none.
func (s *h2Stream) noBody() bool {
	return s.x.method == http.MethodHead || s.status == http.StatusNoContent || s.status == http.StatusNotModified
}

func (s *h2Stream) end() (fault string) {
	s.ended, s.short = true, s.length > s.got && !s.noBody()
	return ""
}

var (
	errReset = errors.New("reset by the server")
	errShort = errors.New("an end before the declared length")
	errLeft  = errors.New("reset by the client")
)

// awaitHeader waits for the response's header.
func (s *h2Stream) awaitHeader() (status int, header http.Header, err error) {
	s.c.await(nil, func() bool { return s.header != nil || s.reset || s.left })
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.header == nil {
		return 0, nil, s.errLocked()
	}
	return s.status, s.header, nil
}

// errLocked returns how the stream has ended before its end.
func (s *h2Stream) errLocked() error {
	switch {
	case s.left:
		return errLeft
	case s.reset:
		return fmt.Errorf("%w: %v", errReset, s.code)
	}
	return errors.Join(errors.New("the connection"), s.c.err)
}

// Read returns what has come of the body, and gives the server room for as much.
func (s *h2Stream) Read(p []byte) (n int, err error) {
	s.c.await(nil, func() bool { return len(s.in) > 0 || s.ended || s.reset || s.left })
	s.c.mu.Lock()
	gives := false
	switch {
	case len(s.in) > 0 && !s.left:
		n = copy(p, s.in)
		s.in = s.in[n:]
		gives = !s.ended && !s.reset
		if gives {
			s.room += int64(n)
		}
	case s.ended && !s.left && s.short:
		err = errShort
	case s.ended && !s.left:
		err = io.EOF
	default:
		err = s.errLocked()
	}
	s.c.mu.Unlock()
	if gives {
		_ = s.c.write(func() error { return s.c.framer.WriteWindowUpdate(s.id, uint32(n)) })
	}
	return n, err
}

// Write sends a part of the request's body.
func (s *h2Stream) Write(p []byte) (n int, err error) {
	for n < len(p) {
		var now int64
		s.c.await(nil, func() bool {
			if s.reset || s.left || s.stopped {
				return true
			}
			now = min(s.sends, s.c.sends, int64(len(p)-n), 16384)
			if now > 0 {
				s.sends -= now
				s.c.sends -= now
			}
			return now > 0
		})
		if now <= 0 {
			s.c.mu.Lock()
			defer s.c.mu.Unlock()
			return n, s.errLocked()
		}
		if err := s.c.write(func() error { return s.c.framer.WriteData(s.id, false, p[n:n+int(now)]) }); err != nil {
			return n, err
		}
		n += int(now)
	}
	return n, nil
}

// closeWrite ends the request, unless the response has been broken off.
func (s *h2Stream) closeWrite() {
	var sends bool
	s.c.with(func() {
		sends = !s.sentAll && !s.reset && !s.left
		s.sentAll = s.sentAll || sends
	})
	if sends {
		_ = s.c.write(func() error { return s.c.framer.WriteData(s.id, true, nil) })
	}
}

// leave resets the stream, unless it is over in both directions.
func (s *h2Stream) leave() {
	var resets bool
	s.c.with(func() {
		resets = !s.left && !s.reset && !(s.ended && s.sentAll)
		s.left, s.stopped = s.left || resets && !s.ended, true
	})
	if resets {
		_ = s.c.write(func() error { return s.c.framer.WriteRSTStream(s.id, http2.ErrCodeCancel) })
	}
}
