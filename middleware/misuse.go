package middleware

import (
	"log"
	"net/http"
	"path"
	"runtime"
	"strings"
)

// logMisuse logs what net/http logs when a handler misuses its writer. net/http names the caller,
// which would be us, where the user wants to know the line of theirs. It reports false, and does
// nothing, where the wrapped writer isn't net/http's for HTTP/1 and may handle that differently.
func (x *exchange) logMisuse(what string) bool {
	srv, ok := x.req.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || !isNetHTTP1(x.w) {
		return false
	}
	logf := log.Printf
	if srv.ErrorLog != nil {
		logf = srv.ErrorLog.Printf
	}
	caller := callerOutside("net/http.", "github.com/lastcall-go/lastcall/middleware.")
	logf("http: %s from %s (%s:%d)", what, caller.Function, path.Base(caller.File), caller.Line)
	return true
}

// callerOutside returns the nearest caller whose function has none of the prefixes.
func callerOutside(prefixes ...string) runtime.Frame {
	var pc [32]uintptr
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc[:])])
next:
	for {
		frame, more := frames.Next()
		for _, p := range prefixes {
			if more && strings.HasPrefix(frame.Function, p) {
				continue next
			}
		}
		return frame
	}
}
