package stream

import (
	"context"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A Response is one tracked exchange, from before its handler runs until no byte of it can be
// written any more. [From] returns it. Its methods may be called concurrently, also after the
// response has ended, and on nil.
type Response tracked.Response

// From returns the response that a request's context belongs to, or nil where nothing tracks it.
func From(ctx context.Context) *Response { return (*Response)(tracked.From(ctx)) }

func (r *Response) tracked() *tracked.Response { return (*tracked.Response)(r) }

// Kind returns how the drain takes the response: as what the handler's [Tag] says, else as what its
// rule says, else as what its header showed. It is [policy.Auto] while nothing has been said and no
// header written, and on nil; the drain takes that as finite.
func (r *Response) Kind() policy.Kind {
	if r == nil {
		return policy.Auto
	}
	return r.tracked().Kind()
}

// Format returns what the response speaks, as far as its header has shown; [HTTP] on nil.
func (r *Response) Format() Format {
	if r == nil {
		return HTTP
	}
	return Format(r.tracked().Format())
}

// Route returns the response's name in reports: the pattern that a net/http.ServeMux matched, where
// that is known, else its method and path; "" on nil.
func (r *Response) Route() string {
	if r == nil {
		return ""
	}
	return r.tracked().Route()
}

// Age returns the time since the response began; zero on nil.
func (r *Response) Age() time.Duration {
	if r == nil {
		return 0
	}
	return r.tracked().Age()
}

// Idle returns the time since the response's last byte moved, or since it began where none has;
// zero on nil. A short body that may wait in net/http's buffer until its handler flushes or returns
// counts as not moved. One that the kernel copies (sendfile) counts as one byte at its end.
func (r *Response) Idle() time.Duration {
	if r == nil {
		return 0
	}
	return r.tracked().Idle()
}

// Rule returns the rule that the response has now; the zero Rule on nil.
func (r *Response) Rule() policy.Rule {
	if r == nil {
		return policy.Rule{}
	}
	return r.tracked().Rule()
}

// Refine lays rule over the one that the response has: what the new one says stands, field by
// field. A handler that knows its client can give it a longer Grace or another Farewell, or a
// MaxAge up to which its token is good. Once the drain has planned the response its Grace, Spread,
// Order and Priority come too late, and once it has been told, all but its Kind. In a rule that
// [policy.Rule.Validate] finds fault with, invalid durations are ignored, and the zero Farewell is
// sent in place of one that can't be. On nil, Refine does nothing.
func (r *Response) Refine(rule policy.Rule) {
	if r != nil {
		r.tracked().Refine(rule)
	}
}

// A Format is what a response speaks, which decides how its client can be told goodbye.
type Format string

const (
	HTTP      Format = format.HTTP      // a plain body
	SSE       Format = format.SSE       // an event stream that a last event can be written into
	WebSocket Format = format.WebSocket // a connection hijacked for Upgrade: websocket, or over HTTP/2 a CONNECT's bodies
	Hijacked  Format = format.Hijacked  // any other hijacked connection: never written into
	Lines     Format = format.Lines     // lines, of JSON say, that another can be written after
	Parts     Format = format.Parts     // a multipart/x-mixed-replace that another part can be written after
)
