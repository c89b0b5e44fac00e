package fuzz

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// FuzzBoundary holds the boundaries of a body against what connect-go's own clients make of it. At
// a boundary a client reads the farewell as such, whatever came before it. Anywhere else it
// doesn't, and of a body that stops there it doesn't say that it is whole.
func FuzzBoundary(f *testing.F) {
	message := []byte("\x00\x00\x00\x00\x03abc\x01\x00\x00\x00\x00")
	for _, body := range []string{
		"", "\x00", "\x00\x00\x00\x00\x00", string(message), string(message[:7]), "\x02\x00\x00\x00\x02{}",
		"\x80\x00\x00\x00\x10grpc-status: 0\r\n", "\x04\x00\x00\x00\x00", "\x00\xff\xff\xff\xff{}",
		"\x02\x00\x00\x00\x02{}\x00\x00\x00\x00\x00", "\x03\x00\x00\x00\x00", "HTTP/1.1 200",
	} {
		for protocol := range uint8(3) {
			f.Add([]byte(body), uint8(3), protocol)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, chunk, protocol uint8) {
		contentType := []string{"application/grpc+raw", "application/grpc-web+raw", "application/connect+raw"}[protocol%3]
		header := http.Header{"Content-Type": {contentType}}
		b, _, _ := format.Recognize(header)
		for rest := body; len(rest) > 0; {
			n := min(len(rest), int(chunk)+1)
			at := b.Boundary(rest[:n])
			if at >= 0 { // it is the first of them
				_, _ = b.Write(rest[:at])
				if !b.AtBoundary() {
					t.Fatalf("%q: %d is no boundary of %q", body, at, rest)
				}
				n = max(at, min(n, 1))
				_, _ = b.Write(rest[at:n])
			} else {
				_, _ = b.Write(rest[:n])
			}
			rest = rest[n:]
		}
		farewell := policy.Farewell{Reason: "farewell"}
		// gRPC's is no part of the body: there a client says whether the body is whole.
		trailers, code := http.Header{"Grpc-Status": {"0"}}, connect.Code(0)
		if protocol%3 > 0 {
			body, trailers, code = b.AppendFarewell(body, farewell, time.Second), nil, connect.CodeUnavailable
		}
		err := readAll(header, body, trailers)
		said := err == nil && code == 0
		if e := (*connect.Error)(nil); errors.As(err, &e) {
			said = e.Code() == code && e.Message() == "farewell"
		}
		if said != b.AtBoundary() {
			t.Errorf("%s: a boundary behind %q: %v, but a client reads %v", contentType, body, b.AtBoundary(), err)
		}
	})
}

// readAll has a client of connect-go read a response, and returns its error.
func readAll(header http.Header, body []byte, trailers http.Header) error {
	var with []connect.ClientOption
	switch header.Get("Content-Type") {
	case "application/grpc+raw":
		header = http.Header{"Content-Type": {"application/grpc+raw"}, "Grpc-Encoding": {"none"}}
		with = append(with, connect.WithGRPC())
	case "application/grpc-web+raw":
		header = http.Header{"Content-Type": {"application/grpc-web+raw"}, "Grpc-Encoding": {"none"}}
		with = append(with, connect.WithGRPCWeb())
	default:
		header = http.Header{"Content-Type": {"application/connect+raw"}, "Connect-Content-Encoding": {"none"}}
	}
	answer := roundTripper(func(r *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		return &http.Response{
			StatusCode: http.StatusOK, ProtoMajor: 2, Header: header, Trailer: trailers, Request: r,
			Body: io.NopCloser(bytes.NewReader(body)),
		}, nil
	})
	client := connect.NewClient[[]byte, []byte](&http.Client{Transport: answer}, "http://memory/test.Service/List", append(with,
		connect.WithCodec(rawCodec{}),
		connect.WithAcceptCompression("none", func() connect.Decompressor { return new(noCompression) }, nil))...)
	stream, err := client.CallServerStream(context.Background(), connect.NewRequest(new([]byte)))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() { //nolint:revive // all of it
	}
	return stream.Err()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// rawCodec has messages of any bytes.
type rawCodec struct{}

func (rawCodec) Name() string                    { return "raw" }
func (rawCodec) Marshal(m any) ([]byte, error)   { return *m.(*[]byte), nil }
func (rawCodec) Unmarshal(b []byte, m any) error { *m.(*[]byte) = bytes.Clone(b); return nil }

// noCompression takes the bytes of a compressed message as they are.
type noCompression struct{ io.Reader }

func (c *noCompression) Close() error { return nil }

func (c *noCompression) Reset(r io.Reader) error {
	c.Reader = r
	return nil
}
