package middleware

import (
	"net/http"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// kindHeader is the response header by which a back end tells a proxy in front of it what kind of
// response this is, "finite" or "infinite", where its media type and the request's method would say
// otherwise. Any back end may set it. Each Graceful takes it off, and sets it anew if that is so for
// the kind that itself takes the response for: a proxy in front of a proxy is told as well.
const kindHeader = "Lastcall-Kind"

// shapeLocked takes from a header that is about to go out what kind of response this is, and what
// its body speaks. It returns the kind that the drain takes it for.
//
// A body of a known length ends by itself, and so does what answers another method than GET: a
// language model's answer is an event stream that ends. The handler of a HEAD may run on like that
// of the GET, though nobody sees what it writes.
func (x *exchange) shapeLocked(h http.Header, noBody bool) policy.Kind {
	method := x.Request().Method
	head := method == http.MethodHead
	kind, formatName := policy.Finite, format.HTTP
	open := x.missing == unknownLength && (!noBody || head)
	known, endless := false, false
	if open {
		x.body, known, endless = format.Recognize(h)
	}
	if noBody {
		x.body = nil
	}
	if endless && (head || method == http.MethodGet || format.IsMCPSubscription(x.Request())) {
		kind = policy.Infinite
		x.noteRequest(x.Request(), kind)
	}
	usual := kind
	if known {
		kind = takeKind(h, kind)
	}
	if x.body != nil {
		formatName = x.body.Name()
	}
	kind, specified := x.SetShape(kind, formatName, x.req.Pattern)
	if specified != policy.AutoFormat && open && !noBody {
		if x.body = format.NewBody(specified, h); x.body != nil {
			x.SetFormat(x.body.Name())
		} else {
			x.SetFormat(format.HTTP)
		}
	}
	if known && kind != usual {
		h[kindHeader] = []string{kind.String()}
	}
	return kind
}

// takeKind takes the kindHeader off and returns what it says, or kind if it says nothing.
func takeKind(h http.Header, kind policy.Kind) policy.Kind {
	said, ok := h[kindHeader]
	if !ok {
		return kind
	}
	delete(h, kindHeader)
	var k policy.Kind
	if len(said) != 1 || k.UnmarshalText([]byte(said[0])) != nil || k == policy.Auto {
		return kind
	}
	return k
}
