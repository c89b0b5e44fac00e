package format

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

const mixed = `multipart/x-mixed-replace; boundary="frame"`

// The body that ends where Boundary says, with the farewell, is one that the standard library's
// reader takes for whole, both as cameras write parts (the line break at the end) and as
// mime/multipart does (at the beginning).
func TestPartsEndWhole(t *testing.T) {
	camera := func(i int) string {
		return fmt.Sprintf("--frame\r\nContent-Type: text/plain\r\n\r\npart %d\r\n", i)
	}
	for name, writes := range map[string][]string{
		"a write a part":            {camera(0), camera(1), camera(2)},
		"line break first":          {"--frame\r\n\r\npart 0", "\r\n--frame\r\n\r\npart 1", "\r\n--frame\r\n\r\npart 2"},
		"several writes a part":     {"--frame\r\n\r\n", "part 0", "\r\n", "--frame\r\n\r\npart", " 1\r\n", camera(2)},
		"the end with a new part's": {camera(0), "--frame\r\n\r\npart 1\r\n" + camera(2)},
	} {
		for asked := range writes {
			for _, last := range []string{"", "Content-Type: text/plain\r\n\r\nbye"} {
				t.Run(fmt.Sprint(name, ", asked before write ", asked, ", last part ", last != ""), func(t *testing.T) {
					s, recognized, _ := Recognize(http.Header{"Content-Type": {mixed}})
					require.True(t, recognized)
					var body, before []byte
					for i, p := range writes {
						if i >= asked {
							if upTo := s.Boundary([]byte(p)); upTo >= 0 {
								before = append(body, p[:upTo]...)
								body = s.AppendFarewell(before, policy.Farewell{Message: last}, 0)
								break
							}
						}
						_, _ = s.Write([]byte(p))
						body = append(body, p...)
					}
					require.NotEmpty(t, body)
					if before == nil { // no delimiter came any more
						return
					}
					got, err := partsOf(body)
					require.NoError(t, err, "%q", body)
					want := append([]string{}, "part 0", "part 1", "part 2")[:bytes.Count(before, []byte("--frame\r\n"))]
					if last != "" {
						want = append(want, "bye")
					}
					assert.Equal(t, want, append([]string{}, got...))
				})
			}
		}
	}
}

// A subscription's server writes the delimiter of the next part behind each one, and waits.
func TestPartsWhoseNextDelimiterIsWritten(t *testing.T) {
	const first = "--frame\r\nContent-Type: application/json\r\n\r\n{}\r\n--frame\r\n"
	for name, c := range map[string]struct {
		contentType string
		writes      []string
		message     string
		want        string // behind the writes; empty: nothing can be inserted
	}{
		"in one":                  {"multipart/mixed", []string{first}, "", "\r\n--frame--\r\n"},
		"a last part":             {"multipart/mixed", []string{first}, "A: b\r\n\r\nbye", "A: b\r\n\r\nbye\r\n--frame--\r\n"},
		"split":                   {"multipart/mixed", []string{first[:20], first[20 : len(first)-4], first[len(first)-4:]}, "", "\r\n--frame--\r\n"},
		"the LF still to come":    {"multipart/mixed", []string{first[:len(first)-1]}, "", ""},
		"with blanks":             {"multipart/mixed", []string{"--frame \t\r\n"}, "", "\r\n--frame--\r\n"},
		"a header has begun":      {"multipart/mixed", []string{first, "C"}, "", ""},
		"it only looks like one":  {"multipart/mixed", []string{"--frames\r\n"}, "", ""},
		"it was the closing one":  {"multipart/mixed", []string{"--frame--\r\n"}, "", ""},
		"behind the closing one":  {"multipart/mixed", []string{"--frame--\r\n", first}, "", ""},
		"where pictures replace":  {"multipart/x-mixed-replace", []string{first}, "", ""},
		"of another sort by rule": {"multipart/related", []string{first}, "", "\r\n--frame--\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewBody(policy.PartsFormat, http.Header{"Content-Type": {c.contentType + "; boundary=frame"}})
			for _, p := range c.writes {
				_, _ = s.Write([]byte(p))
			}
			assert.Equal(t, c.want != "", s.AtBoundary())
			assert.Equal(t, map[bool]int{true: 0, false: -1}[c.want != ""], s.Boundary(nil))
			if c.want != "" {
				assert.Equal(t, c.want, string(s.AppendFarewell(nil, policy.Farewell{Message: c.message}, 0)))
			}
		})
	}
}

// Where the next bytes tell, before a line that is a delimiter and not one that only begins so, and
// nowhere behind the closing one.
func TestPartsBoundary(t *testing.T) {
	for _, c := range []struct {
		before, p string
		want      int
	}{
		{"", "anything", 0},
		{"--frame\r\n\r\none\r\n", "--frame\r\n", 0},
		{"--frame\r\n\r\none", "\r\n--frame\r\n", 2},
		{"--frame\r\n\r\none", "\r\n--frame--\r\n", 2},
		{"--frame\r\n\r\none", "\r\n--frames\r\n--frame", 12},
		{"--frame\r\n\r\none", "\r\n--frame-\r\n", -1},
		{"--frame\r\n\r\none", " --frame\r\n", -1},
		{"--frame\r\n\r\none\r\n--fr", "ame\r\nA: b\r\n", 5}, // behind the delimiter
		{"--frame\r\n\r\none\r\n--frame--\r\n", "--frame\r\n\r\ntwo\r\n--frame\r\n", -1},
		{"--frame\r\n\r\none", "\r\n--fra", -1},
	} {
		s := newParts("multipart/mixed; boundary=frame")
		_, _ = s.Write([]byte(c.before))
		assert.Equal(t, c.want, s.Boundary([]byte(c.p)), "%q then %q", c.before, c.p)
	}
}

func TestPartsWithABoundaryThatIsTooLong(t *testing.T) {
	for length, ok := range map[int]bool{70: true, 71: false} {
		h := http.Header{"Content-Type": {"multipart/mixed; boundary=" + strings.Repeat("x", length)}}
		body, known, _ := Recognize(h)
		assert.True(t, known)
		assert.Equal(t, ok, body != nil)
	}
}

// FuzzParts cuts any bytes anywhere. With the farewell at the first boundary after some point, a
// reader that isn't ours gets the parts that were whole before it and the last one, and an end.
func FuzzParts(f *testing.F) {
	for _, seed := range []string{
		"--frame\r\nA: b\r\n\r\none\r\n--frame\r\n\r\ntwo\r\n--frame\r\n\r\n", "--frame\r\n\r\none\r\n--frame--\r\nepilogue",
		"preamble\r\n--frame\r\n\r\n--frames\r\n--frame \r\n\r\n-", "--frame\n\none\n--frame\n", "--frame\r\n\r\n\r\n--frame-\r\n--frame",
	} {
		f.Add([]byte(seed), []byte{1}, uint(0), false)
		f.Add([]byte(seed), []byte{3, 200, 9}, uint(20), true)
		f.Add([]byte(seed), []byte{255}, uint(60), false)
	}
	f.Fuzz(func(t *testing.T, body, cuts []byte, from uint, message bool) {
		body = body[:min(len(body), 400)]
		from %= uint(len(body)) + 1
		var farewell policy.Farewell
		if message {
			farewell.Message = "L: last\r\n\r\nbye"
		}
		s := NewBody(policy.PartsFormat, http.Header{"Content-Type": {"multipart/mixed; boundary=frame"}})
		for at, i := 0, 0; ; i++ {
			rest := body[at:]
			if len(cuts) > 0 {
				rest = rest[:min(len(rest), int(cuts[i%len(cuts)])+1)]
			}
			require.Equal(t, s.AtBoundary(), s.Boundary(nil) == 0)
			if n := s.Boundary(rest); n >= 0 && uint(at) >= from {
				require.LessOrEqual(t, n, len(rest))
				_, _ = s.Write(rest[:n])
				at += n
				begun := at > 0 && s.AtBoundary()
				checkLastPart(t, s.AppendFarewell(bytes.Clone(body[:at]), farewell, 0), body[:at], message, begun)
				return
			}
			if at == len(body) {
				return
			}
			_, _ = s.Write(rest)
			at += len(rest)
		}
	})
}

// checkLastPart compares what a reader gets of the body with what it gets of its beginning, before
// the farewell. begun says whether the last part had begun there.
func checkLastPart(t *testing.T, body, before []byte, message, begun bool) {
	t.Helper()
	// Had the handler ended there by itself, in the way of the standard library, these would be the
	// parts.
	end := "--frame--\r\n"
	if begun {
		end = "\r\n" + end
	}
	want, err := partsOf(append(bytes.Clone(before), end...))
	if err != nil || bytes.Count(before, []byte("\n")) > bytes.Count(before, []byte("\r\n")) {
		return // the reader can't make anything of what the handler wrote, or takes one sort of line ends only
	}
	switch {
	case message && begun:
		want[len(want)-1] = "bye"
	case message:
		want = append(want, "bye")
	}
	got, err := partsOf(body)
	require.NoError(t, err, "%q", body)
	require.Equal(t, want, got, "%q", body)
}

func partsOf(body []byte) (parts []string, err error) {
	r := multipart.NewReader(bytes.NewReader(body), "frame")
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return parts, nil
		}
		if err != nil {
			return parts, err
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return parts, err
		}
		parts = append(parts, string(b))
	}
}
