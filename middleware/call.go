package middleware

import (
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// Remote procedure calls (gRPC, gRPC-Web, Connect) end with a status, in trailers or in the last
// message of the body. This file has what an exchange does for them that others don't need.

// isCallLocked reports whether the response is that of a call and can still end with a status.
func (x *exchange) isCallLocked() bool {
	_, ok := x.body.(format.Call)
	return ok || x.isUnansweredCallLocked()
}

// isUnansweredCallLocked reports whether the response is that of a call, and nothing of it has been
// sent, so that a farewell can be the whole answer.
func (x *exchange) isUnansweredCallLocked() bool {
	return x.body == nil && !x.committed && x.RequestInfo().EndsWithStatus
}

// lacksStatusLocked reports whether the response is that of a call that is whole but for its
// status, which may be written where it stops. The handler must have returned.
func (x *exchange) lacksStatusLocked() bool {
	call, ok := x.body.(format.Call)
	return ok && !call.Torn() && !call.Ended(x.w.Header()) && !x.farewellWritten && !x.failed && !x.wasCut.Load()
}

// writeStatusLocked writes the status of a call that the drain has canceled, if it is missing. It
// reports whether the response is that of a call which has one now.
func (x *exchange) writeStatusLocked() bool {
	if !x.lacksStatusLocked() {
		return format.HasGRPCStatus(x.w.Header())
	}
	x.extendWriteDeadline(0)
	call := x.body.(format.Call)
	f := policy.Farewell{Reason: x.d.whyUnavailable()}
	retry := x.d.slot(x.Rule())
	if text := call.AppendFarewell(nil, f, retry); len(text) > 0 {
		_, _ = x.w.Write(text)
	} else if x.Request().ProtoMajor == 1 {
		_ = x.controller().Flush() // with its header still unsent net/http would send no trailers
	}
	call.SetTrailers(x.w.Header(), f, retry)
	return true
}

// finishFarewellLocked writes the part of a farewell that comes when the handler has returned. Only
// calls have one: trailers, which net/http sends then, or the whole answer.
func (x *exchange) finishFarewellLocked() {
	f := x.farewell.Load()
	if call, ok := x.body.(format.Call); ok {
		call.SetTrailers(x.w.Header(), f.Farewell, f.retry)
	} else if !x.committed {
		x.clearHeader()
		answerCall(x.w, x.Request(), f.Farewell, f.retry)
	}
}

// answerCall writes a whole answer to a call: the server isn't available.
func answerCall(w http.ResponseWriter, r *http.Request, f policy.Farewell, retry time.Duration) {
	code, body := format.AnswerUnavailable(r, w.Header(), f, retry)
	w.WriteHeader(code)
	if len(body) > 0 {
		_, _ = w.Write(body)
	}
}
