package format

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

// callTypes are the media types of calls into whose body an end can be put, with the flags that
// their messages may have, and the flag of the last one.
var callTypes = []struct {
	contentType string
	flags, end  byte
}{
	{"application/grpc", 0x01, 0},
	{"application/grpc-web+proto", 0x81, 0x80},
	{"application/connect+json", 0x03, 0x02},
}

func callOf(t testing.TB, contentType string) Call {
	body, _, endless := Recognize(http.Header{"Content-Type": {contentType}})
	require.Implements(t, (*Call)(nil), body)
	assert.False(t, endless)
	return body.(Call)
}

func TestRecognizeCalls(t *testing.T) {
	for contentType, name := range map[string]string{
		"application/grpc":                      GRPC,
		"Application/GRPC+proto; charset=utf-8": GRPC,
		"application/grpc-web":                  GRPC,
		"application/grpc-web+json":             GRPC,
		"application/connect+proto":             Connect,
		"application/grpc-web-text+proto":       "",
		"application/connect":                   "",
		"application/grpcish":                   "",
		"application/json":                      "",
		"text/grpc":                             "",
	} {
		body, _, endless := Recognize(http.Header{"Content-Type": {contentType}})
		assert.False(t, endless)
		if name == "" {
			assert.Nil(t, body, contentType)
		} else if assert.NotNil(t, body, contentType) {
			assert.Equal(t, name, body.Name(), contentType)
		}
	}
	body, _, _ := Recognize(http.Header{"Content-Type": {"application/grpc"}, "Content-Encoding": {"gzip"}})
	assert.Nil(t, body)
}

// split is a reader of its own: it returns after how many bytes of a body a message ends, and
// whether the last of those is the body's end.
func split(body []byte, flags, end byte) (boundaries []int, ended bool) {
	boundaries = []int{0}
	for at := 0; len(body)-at >= 5 && body[at]|flags == flags; {
		next := uint64(at) + 5 + uint64(binary.BigEndian.Uint32(body[at+1:at+5]))
		if next > uint64(len(body)) {
			break
		}
		if body[at]&end != 0 {
			return boundaries, next == uint64(len(body))
		}
		at = int(next)
		boundaries = append(boundaries, at)
	}
	return boundaries, false
}

func FuzzCallBoundaries(f *testing.F) {
	for _, body := range []string{
		"\x00\x00\x00\x00\x03abc\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00", "\x02\x00\x00\x00\x02{}", "\x80\x00\x00\x00\x01a",
		"\x02\x00\x00\x00\x02{}\x00\x00\x00\x00\x00", "\x00\xff\xff\xff\xff", "plain text",
	} {
		for kind := range byte(3) {
			f.Add([]byte(body), kind, byte(2))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, kind, step byte) {
		is := callTypes[int(kind)%len(callTypes)]
		call := callOf(t, is.contentType)
		boundaries, ended := split(body, is.flags, is.end)
		for at := 0; at < len(body); {
			n := min(len(body)-at, int(step)+1)
			next := -1
			for _, b := range boundaries {
				if b >= at && b <= at+n {
					next = b - at
					break
				}
			}
			require.Equal(t, next, call.Boundary(body[at:at+n]), "of %q at %d", body, at)
			wrote, err := call.Write(body[at : at+n])
			require.NoError(t, err)
			require.Equal(t, n, wrote)
			at += n
			require.Equal(t, slices.Contains(boundaries, at), call.AtBoundary(), "%q behind %d", body, at)
		}
		require.Equal(t, ended && is.end != 0, is.end != 0 && call.Ended(http.Header{}))
		require.Equal(t, call.Torn(), !call.AtBoundary() && !ended)
		require.False(t, call.Torn() && call.Ended(http.Header{"Grpc-Status": {"0"}}), "a torn body is never whole")
	})
}

var comeBack = policy.ComeBack().Expand(1234 * time.Millisecond)

const slot = 1234 * time.Millisecond

func TestFarewellOfGRPC(t *testing.T) {
	call := callOf(t, "application/grpc+proto")
	assert.Empty(t, call.AppendFarewell(nil, comeBack, slot))
	h := http.Header{
		"Content-Type": {"application/grpc+proto"}, "Trailer": {"Grpc-Status"}, "Grpc-Status": {"0"}, "Grpc-Message": {"its own"},
		http.TrailerPrefix + "Grpc-Status": {"5"}, http.TrailerPrefix + "Grpc-Status-Details-Bin": {"AAAA"}, http.TrailerPrefix + "X-Own": {"stays"},
	}
	assert.True(t, call.Ended(h))
	call.SetTrailers(h, comeBack, slot)
	assert.Equal(t, http.Header{
		"Content-Type": {"application/grpc+proto"}, "Trailer": {"Grpc-Status"},
		http.TrailerPrefix + "Grpc-Status":            {"14"},
		http.TrailerPrefix + "Grpc-Message":           {"service restart; retry=1234"},
		http.TrailerPrefix + "Grpc-Retry-Pushback-Ms": {"1234"},
		http.TrailerPrefix + "X-Own":                  {"stays"},
	}, h)
}

func TestFarewellOfGRPCWeb(t *testing.T) {
	call := callOf(t, "application/grpc-web+proto")
	const trailers = "grpc-status: 14\r\ngrpc-message: 100 %25 \xc3\xa0\r\ngrpc-retry-pushback-ms: 1234\r\n"
	text := strings.Replace(trailers, "\xc3\xa0", "%C3%A0", 1)
	got := call.AppendFarewell([]byte("before"), policy.Farewell{Reason: "100 % à"}, slot)
	assert.Equal(t, "before\x80\x00\x00\x00"+string(rune(len(text)))+text, string(got))
	_, _ = call.Write(got[len("before"):])
	assert.True(t, call.Ended(nil))
	assert.False(t, call.AtBoundary(), "nothing may follow")
}

func TestFarewellOfConnect(t *testing.T) {
	call := callOf(t, "application/connect+proto")
	got := call.AppendFarewell([]byte("before"), comeBack, slot)[len("before"):]
	require.Equal(t, byte(2), got[0])
	assert.EqualValues(t, len(got)-5, binary.BigEndian.Uint32(got[1:]))
	assert.JSONEq(t, `{"error": {"code": "unavailable", "message": "service restart; retry=1234"},
		"metadata": {"grpc-retry-pushback-ms": ["1234"]}}`, string(got[5:]))
	_, _ = call.Write(got)
	assert.True(t, call.Ended(nil))
}

func TestWhoStaysAwayIsNotToRepeat(t *testing.T) {
	f := policy.StayAway().Expand(slot)
	h := http.Header{}
	callOf(t, "application/grpc").SetTrailers(h, f, slot)
	assert.Equal(t, "-1", h.Get(http.TrailerPrefix+"Grpc-Retry-Pushback-Ms"))
	assert.Contains(t, string(callOf(t, "application/connect+json").AppendFarewell(nil, f, slot)), `["-1"]`)
}

// A call of gRPC-Web that ends before its first message has its status in the header.
func TestStatusInTheHeader(t *testing.T) {
	body, _, _ := Recognize(http.Header{"Content-Type": {"application/grpc-web"}, "Grpc-Status": {"5"}})
	assert.True(t, body.(Call).Ended(nil))
	assert.False(t, body.AtBoundary())
}

func TestAnswerCall(t *testing.T) {
	status := http.Header{"Grpc-Status": {"14"}, "Grpc-Message": {"gone"}, "Grpc-Retry-Pushback-Ms": {"1234"}}
	of := func(contentType string, more http.Header) http.Header {
		h := more.Clone()
		h.Set("Content-Type", contentType)
		return h
	}
	const unavailable = `{"code":"unavailable","message":"gone"}`
	end := string(new(connectStream).AppendFarewell(nil, policy.Farewell{Reason: "gone"}, slot))
	later := http.Header{"Retry-After": {"2"}}
	for _, test := range []struct {
		method, target, contentType, version string
		code                                 int
		header                               http.Header
		body                                 string
		messages                             bool
	}{
		{"POST", "/", "application/grpc+proto", "", 200, of("application/grpc+proto", status), "", true},
		{"POST", "/", "application/grpc-web", "", 200, of("application/grpc-web", status), "", true},
		{"POST", "/", "application/grpc-web-text", "", 200, of("application/grpc-web-text", status), "", true},
		{"POST", "/", "application/connect+json", "1", 200, of("application/connect+json", http.Header{}), end, true},
		{"POST", "/", "application/json", "1", 503, of("application/json", later), unavailable, false},
		{"POST", "/", "application/proto", "1", 503, of("application/json", later), unavailable, false},
		{"GET", "/?connect=v1&encoding=proto&message=", "", "", 503, of("application/json", later), unavailable, false},
	} {
		r := httptest.NewRequest(test.method, test.target, nil)
		r.Header.Set("Content-Type", test.contentType)
		r.Header.Set("Connect-Protocol-Version", test.version)
		h := http.Header{"Grpc-Status": {"0"}, http.TrailerPrefix + "X-Own": {"a trailer"}}
		if !strings.HasPrefix(test.contentType, "application/grpc") {
			h = http.Header{}
		}
		require.True(t, IsCall(r))
		assert.Equal(t, test.messages, EndsWithStatus(r))
		code, body := AnswerUnavailable(r, h, policy.Farewell{Reason: "gone"}, slot)
		assert.Equal(t, test.code, code)
		assert.Equal(t, test.header, h, "%s %s", test.method, test.contentType)
		assert.Equal(t, test.body, string(body))
	}
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/?connect=v2", nil), httptest.NewRequest("GET", "/events?connect=v1&message=", nil), httptest.NewRequest("POST", "/?connect=v1", nil), httptest.NewRequest("PUT", "/", nil),
	} {
		assert.False(t, IsCall(r))
	}
}
