package format

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
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
