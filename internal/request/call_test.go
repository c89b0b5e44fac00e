package request_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/request"
)

func TestCall(t *testing.T) {
	for text, want := range map[string]struct {
		protocol request.Protocol
		body     string
	}{
		"POST /a\nContent-Type: application/grpc":                                         {request.GRPC, "\x00\x00\x00\x00\x00"},
		"POST /a\nContent-Type: application/grpc\n\n0a 03 616263\n\n":                     {request.GRPC, "\x00\x00\x00\x00\x05\x0a\x03abc\x00\x00\x00\x00\x00"},
		"POST /a\nContent-Type: application/grpc-web+proto\n\n0A0161":                     {request.GRPCWeb, "\x00\x00\x00\x00\x03\x0a\x01a"},
		"POST /a\nContent-Type: application/connect+json; charset=utf-8":                  {request.Connect, "\x00\x00\x00\x00\x02{}"},
		"POST /a\nContent-Type: application/connect+json\n\n{\"a\":1}\n[]":                {request.Connect, "\x00\x00\x00\x00\x07{\"a\":1}\x00\x00\x00\x00\x02[]"},
		"POST /a\nContent-Type: application/json\nConnect-Protocol-Version: 1\n\n{\n}":    {request.ConnectUnary, "{\n}"},
		"POST /a\nContent-Type: application/proto\nConnect-Protocol-Version: 1\n\n0a0161": {request.ConnectUnary, "\x0a\x01a"},
		"/a?connect=v1&encoding=json&message=%7B%7D":                                      {request.ConnectUnary, ""},
		"POST /a\nContent-Type: application/json\n\n{}":                                   {request.NoCall, "{}"},
		"POST /a\nContent-Type: application/grpc-web-text\n\nAAAAAAA=":                    {request.NoCall, "AAAAAAA="},
		"/a": {request.NoCall, ""},
	} {
		r, err := request.Parse(text)
		require.NoError(t, err)
		r, p, err := r.Call()
		require.NoError(t, err)
		assert.Equal(t, want.protocol, p, text)
		assert.Equal(t, want.body, r.Body, text)
		assert.Equal(t, p == request.GRPC, r.Header.Get("Te") == "trailers", text)
	}
	r, err := request.Parse("POST /a\nContent-Type: application/grpc\n\n{}")
	require.NoError(t, err)
	_, _, err = r.Call()
	assert.ErrorContains(t, err, `"{}" is no message of a call: write hexadecimal digits`)
}

func TestEnd(t *testing.T) {
	const a = "\x00\x00\x00\x00\x01a"
	grpc, web := http.Header{"Content-Type": {"application/grpc+proto"}}, http.Header{"Content-Type": {"application/grpc-web"}}
	stream, unary := http.Header{"Content-Type": {"application/connect+json"}}, http.Header{"Content-Type": {"application/json"}}
	text := http.Header{"Content-Type": {"text/plain"}}
	status := func(code string) http.Header { return http.Header{"Grpc-Status": {code}} }
	for name, c := range map[string]struct {
		p      request.Protocol
		answer request.Answer
		want   request.End
	}{
		"gRPC": {request.GRPC, request.Answer{Status: 200, Header: grpc, Trailer: status("0"), Body: a + a}, request.End{Messages: []string{"a", "a"}, Status: "ok"}},
		"gRPC, unavailable": {request.GRPC, request.Answer{Status: 200, Header: grpc, Trailer: http.Header{"Grpc-Status": {"14"}, "Grpc-Retry-Pushback-Ms": {"70"}}, Body: a},
			request.End{Messages: []string{"a"}, Status: "unavailable", Retry: "70"}},
		"gRPC, unavailable for good": {request.GRPC, request.Answer{Status: 200, Header: grpc, Trailer: http.Header{"Grpc-Status": {"14"}, "Grpc-Retry-Pushback-Ms": {"-1"}}, Body: a},
			request.End{Messages: []string{"a"}, Status: "unavailable"}},
		"gRPC, trailers only": {request.GRPC, request.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/grpc"}, "Grpc-Status": {"5"}, "Grpc-Message": {"gone"}}},
			request.End{Status: "grpc-status 5: gone"}},
		"gRPC, a status in front of a body": {request.GRPC, request.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/grpc"}, "Grpc-Status": {"0"}}, Body: a}, request.End{Messages: []string{"a"}}},
		"gRPC, no trailers":                 {request.GRPC, request.Answer{Status: 200, Header: grpc, Body: a}, request.End{Messages: []string{"a"}}},
		"gRPC, broken off":                  {request.GRPC, request.Answer{Status: 200, Header: grpc, Trailer: status("0"), Body: a, Err: io.ErrUnexpectedEOF}, request.End{Messages: []string{"a"}}},
		"gRPC, torn":                        {request.GRPC, request.Answer{Status: 200, Header: grpc, Body: a + a[:5]}, request.End{Messages: []string{"a"}, Torn: true}},
		"gRPC, torn in a prefix":            {request.GRPC, request.Answer{Status: 200, Header: grpc, Body: a[:3]}, request.End{Torn: true}},
		"gRPC, an unknown flag":             {request.GRPC, request.Answer{Status: 200, Header: grpc, Body: "\x02" + a[1:]}, request.End{Torn: true}},
		"gRPC, HTTP 503":                    {request.GRPC, request.Answer{Status: 503, Header: text, Body: "busy"}, request.End{Status: "unavailable"}},
		"gRPC, HTTP 200":                    {request.GRPC, request.Answer{Status: 200, Header: text, Body: "hello"}, request.End{Status: `HTTP status 200 with content type "text/plain"`}},
		"gRPC, nothing":                     {request.GRPC, request.Answer{Err: io.EOF}, request.End{}},
		"no call":                           {request.NoCall, request.Answer{Status: 200, Header: text, Body: "hello"}, request.End{}},
		"gRPC-Web": {request.GRPCWeb, request.Answer{Status: 200, Header: web, Body: a + "\x80\x00\x00\x00\x10grpc-status: 0\r\n"},
			request.End{Messages: []string{"a"}, Status: "ok"}},
		"gRPC-Web, no end":     {request.GRPCWeb, request.Answer{Status: 200, Header: web, Body: a}, request.End{Messages: []string{"a"}}},
		"Connect":              {request.Connect, request.Answer{Status: 200, Header: stream, Body: a + "\x02\x00\x00\x00\x02{}"}, request.End{Messages: []string{"a"}, Status: "ok"}},
		"Connect, unavailable": {request.Connect, request.Answer{Status: 200, Header: stream, Body: "\x02\x00\x00\x00\x20{\"error\":{\"code\":\"unavailable\"}}"}, request.End{Status: "unavailable"}},
		"Connect, unavailable, and when to come back": {request.Connect, request.Answer{Status: 200, Header: stream, Body: "\x02\x00\x00\x00\x54{\"error\":{\"code\":\"unavailable\"},\"metadata\":{\"grpc-retry-pushback-ms\":[\"70\"]}}       "}, request.End{Status: "unavailable", Retry: "70"}},
		"Connect, no end":              {request.Connect, request.Answer{Status: 200, Header: stream, Body: a}, request.End{Messages: []string{"a"}}},
		"Connect, something behind it": {request.Connect, request.Answer{Status: 200, Header: stream, Body: "\x02\x00\x00\x00\x02{}" + a}, request.End{Status: "ok", Torn: true}},
		"Connect, a bad end":           {request.Connect, request.Answer{Status: 200, Header: stream, Body: "\x02\x00\x00\x00\x01a"}, request.End{Status: "an end that is no JSON"}},
		"unary":                        {request.ConnectUnary, request.Answer{Status: 200, Header: unary, Body: "{}"}, request.End{Messages: []string{"{}"}, Status: "ok"}},
		"unary, broken off":            {request.ConnectUnary, request.Answer{Status: 200, Header: unary, Body: "{", Err: io.ErrUnexpectedEOF}, request.End{Messages: []string{"{"}}},
		"unary, unavailable":           {request.ConnectUnary, request.Answer{Status: 503, Header: unary, Body: `{"code":"unavailable"}`}, request.End{Status: "unavailable"}},
		"unary, not found":             {request.ConnectUnary, request.Answer{Status: 404, Header: unary, Body: `{"code":"not_found"}`}, request.End{Status: "not_found"}},
		"unary, and when to come back": {request.ConnectUnary, request.Answer{Status: 503, Header: http.Header{"Content-Type": {"application/json"}, "Retry-After": {"3"}}, Body: `{"code":"unavailable"}`}, request.End{Status: "unavailable", Retry: "3"}},
		"unary, another's JSON":        {request.ConnectUnary, request.Answer{Status: 502, Header: unary, Body: `{"status":502}`}, request.End{Status: "unavailable"}},
	} {
		assert.Equal(t, c.want, c.p.End(c.answer), name)
	}
}

func TestEndIsPartOf(t *testing.T) {
	whole := request.End{Messages: []string{"a", "b"}}
	assert.True(t, request.End{}.IsPartOf(whole, true, true))
	assert.True(t, request.End{Messages: []string{"a"}}.IsPartOf(whole, true, true))
	assert.True(t, request.End{Messages: []string{"c"}}.IsPartOf(whole, false, true))
	assert.False(t, request.End{Messages: []string{"c"}}.IsPartOf(whole, true, true))
	assert.False(t, whole.IsPartOf(whole, true, true))
	assert.True(t, request.End{}.IsPartOf(whole, false, false))
	assert.False(t, request.End{Messages: []string{"c"}}.IsPartOf(whole, false, false))
}
