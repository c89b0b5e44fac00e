package stream

import (
	"context"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A Response is one tracked response, from before its handler runs until no byte of it can be
// written any more. Its methods may be called concurrently, also after the response has ended. On
// nil they return the zero value, but for Format, and Refine does nothing.
type Response tracked.Response

// From returns the response that a request's context belongs to, or the task of a context that
// middleware.Drainer.Go gave, which is drained as a finite response is. It returns nil where
// nothing is tracked.
func From(ctx context.Context) *Response { return (*Response)(tracked.From(ctx)) }

// ask returns what question returns for r, and the zero value if r is nil.
func ask[T any](r *Response, question func(*tracked.Response) T) (answer T) {
	if r != nil {
		answer = question((*tracked.Response)(r))
	}
	return answer
}

// Kind returns what kind of response the drain takes it for: what the handler's [Tag] says, else
// what its rule says, else what its header showed. It is [policy.Auto], which the drain takes as
// finite, while none of them says anything.
func (r *Response) Kind() policy.Kind { return ask(r, (*tracked.Response).Kind) }

// Format returns what the response speaks, as far as its header has shown. It is [HTTP] on nil.
func (r *Response) Format() Format {
	if r == nil {
		return HTTP
	}
	return Format((*tracked.Response)(r).Format())
}

// Route returns the response's name in reports: the method and the path that its client asked for,
// and behind them the pattern that an http.ServeMux matched, where that is known and says anything
// else, as in "GET /rooms/7 (pattern GET /rooms/{id})". What is not printable ASCII is
// percent-encoded, and each of the two has 100 bytes at most.
func (r *Response) Route() string { return ask(r, (*tracked.Response).Route) }

// Pattern returns the pattern that an http.ServeMux matched, known once the response has begun. It
// is empty where it is not known.
func (r *Response) Pattern() string { return ask(r, (*tracked.Response).Pattern) }

// Age returns the time since the response began.
func (r *Response) Age() time.Duration { return ask(r, (*tracked.Response).Age) }

// Idle returns the time since a byte was last written, or read from a hijacked connection; since
// the response began where none was. A short body that waits in net/http's buffer is not written
// yet. One that the kernel copies (sendfile) counts as one byte at its end.
func (r *Response) Idle() time.Duration { return ask(r, (*tracked.Response).Idle) }

// Rule returns the rule that the response has now.
func (r *Response) Rule() policy.Rule { return ask(r, (*tracked.Response).Rule) }

// Refine lays rule over the one that the response has: what the new one sets stands, field by
// field. A handler that knows its client can give it a longer Grace, another Farewell, or a MaxAge
// up to which its token is good.
//
// Once the drain has planned the response it is too late for Grace, Spread, Order and Priority, and
// once the response has been told, for all but Kind. Of a rule that [policy.Rule.Validate] finds
// fault with, invalid durations are ignored, and a Farewell that can't be sent counts as the zero
// Farewell.
func (r *Response) Refine(rule policy.Rule) {
	if r != nil {
		(*tracked.Response)(r).Refine(rule)
	}
}

// A Format is what a response speaks, which decides how its client can be told goodbye.
type Format string

const (
	HTTP      Format = format.HTTP      // a plain body
	SSE       Format = format.SSE       // an event stream that a last event can be written into
	Lines     Format = format.Lines     // lines, of JSON say, that another can be written after
	Parts     Format = format.Parts     // a multipart/x-mixed-replace that another part can be written after
	GRPC      Format = format.GRPC      // a call of gRPC or gRPC-Web, which a status can end between two messages
	Connect   Format = format.Connect   // a streaming call of the Connect protocol, the same
	WebSocket Format = format.WebSocket // a connection hijacked for Upgrade: websocket, or over HTTP/2 a CONNECT's bodies
	Hijacked  Format = format.Hijacked  // any other hijacked connection: never written into
	Task      Format = format.Task      // no response, but a task that was handed to middleware.Drainer.Go
)
