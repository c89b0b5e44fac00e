package stream

import (
	"fmt"
	"slices"
	"strings"
)

// A Protocol is what a response speaks, which decides how it can be told.
type Protocol uint8

const (
	HTTP      Protocol = iota // a plain body
	SSE                       // an event stream that a final event can be written into
	WebSocket                 // a connection hijacked for Upgrade: websocket, or over HTTP/2 the body of a CONNECT's response
	Hijacked                  // any other hijacked connection: never written into
	Lines                     // lines, of JSON say, that another can be written after
	Parts                     // a multipart/x-mixed-replace that another part can be written after
)

var protocolNames = []string{"http", "sse", "websocket", "hijacked", "lines", "parts"}

// String gives the protocol's word, such as "sse", and "Protocol(n)" for a value that is none of them.
func (p Protocol) String() string {
	if int(p) < len(protocolNames) {
		return protocolNames[p]
	}
	return fmt.Sprintf("Protocol(%d)", uint8(p))
}

// MarshalText implements [encoding.TextMarshaler] with the words of String. It fails on an unknown value.
func (p Protocol) MarshalText() ([]byte, error) {
	if int(p) < len(protocolNames) {
		return []byte(protocolNames[p]), nil
	}
	return nil, fmt.Errorf("stream: protocol %d is unknown; use one of %s", uint8(p), strings.Join(protocolNames, ", "))
}

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String. On an error p is unchanged.
func (p *Protocol) UnmarshalText(text []byte) error {
	i := slices.Index(protocolNames, string(text))
	if i < 0 {
		return fmt.Errorf("stream: protocol %.40q is unknown; use one of %s", text, strings.Join(protocolNames, ", "))
	}
	*p = Protocol(i)
	return nil
}
