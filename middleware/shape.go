package middleware

import (
	"net/http"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// kindHeader is the response header by which a back end tells a proxy in front of it what kind of
// response this is, "finite" or "infinite", where media type and method would say otherwise. Any
// back end may set it. Each Graceful takes it off, and sets it anew if the kind that it takes the
// response for itself is not what they say: so a proxy in front of a proxy is told as well.
const kindHeader = "Lastcall-Kind"

// shapeLocked takes from a header that is about to go out what kind of response this is, and in
// which format its body is. It returns the kind that the drain takes it for.
//
// A body of a known length ends by itself, and so does what answers another method than GET: a
// language model's answer is an event stream that ends. The handler of a HEAD may run on like that
// of the GET, though nobody sees what it writes.
func (x *exchange) shapeLocked(h http.Header, noBody bool) policy.Kind {
	r := x.Request()
	head := r.Method == http.MethodHead
	if x.missing != unknownLength || noBody && !head {
		kind, _ := x.SetShape(policy.Finite, format.HTTP, x.req.Pattern)
		return kind
	}
	body, known, endless := format.Recognize(h)
	usual := policy.Finite // by media type and method
	if endless && (head || r.Method == http.MethodGet || format.IsMCPSubscription(r)) {
		usual = policy.Infinite
		x.noteRequest(r, usual)
	}
	shown := usual
	if known {
		shown = takeKind(h, usual)
	}
	if noBody {
		body = nil
	}
	kind, specified := x.SetShape(shown, formatOf(body), x.req.Pattern)
	if specified != policy.AutoFormat && !noBody {
		body = format.NewBody(specified, h)
		x.SetFormat(formatOf(body))
	}
	x.body = body
	if known && kind != usual {
		h[kindHeader] = []string{kind.String()}
	}
	return kind
}

// formatOf returns the format of a body for reports.
func formatOf(body format.Body) string {
	if body == nil {
		return format.HTTP
	}
	return body.Name()
}

// takeKind takes the kindHeader off and returns the kind that it says, or usual if it says none.
func takeKind(h http.Header, usual policy.Kind) policy.Kind {
	said, ok := h[kindHeader]
	if !ok {
		return usual // h isn't written to, since another goroutine of the handler's may read it
	}
	delete(h, kindHeader)
	var k policy.Kind
	if len(said) != 1 || k.UnmarshalText([]byte(said[0])) != nil || k == policy.Auto {
		return usual
	}
	return k
}
