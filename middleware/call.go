package middleware

import (
	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// isCallLocked reports whether the response is that of a remote procedure call, to which something
// may be said in its protocol.
func (x *exchange) isCallLocked() bool {
	if x.body == nil {
		return !x.committed && x.Asked().EndsWithStatus
	}
	_, ok := x.body.(format.Call)
	return ok
}

// canEndCallLocked reports whether the response is that of a call whose handler left out its end, and
// that stops where one may follow.
func (x *exchange) canEndCallLocked() bool {
	call, ok := x.body.(format.Call)
	return ok && !call.Torn() && !call.Ended(x.w.Header()) && !x.farewellWritten && !x.failed && !x.wasCut.Load()
}

// endCallLocked writes the end of a call that the drain canceled and whose handler left it out.
func (x *exchange) endCallLocked() {
	x.extendWriteDeadline(0)
	call := x.body.(format.Call)
	f := policy.Farewell{Reason: x.d.whyUnavailable()}
	retry := x.d.slot(x.Rule())
	if text := call.AppendFarewell(nil, f, retry); len(text) > 0 {
		_, _ = x.w.Write(text)
	} else if x.Request().ProtoMajor == 1 {
		_ = x.controller().Flush() // behind a header that was not sent yet net/http has no trailers
	}
	call.SetTrailers(x.w.Header(), f, retry)
}

// finishFarewellLocked writes what a farewell has beside bytes in the body: trailers, which net/http
// sends when the handler has returned, or the whole answer, where the handler had begun none.
func (x *exchange) finishFarewellLocked() {
	f := x.farewell.Load()
	if call, ok := x.body.(format.Call); ok {
		call.SetTrailers(x.w.Header(), f.Farewell, f.retry)
	} else if !x.committed {
		x.clearHeader()
		answerCall(x.w, x.Request(), f.Farewell, f.retry)
	}
}
