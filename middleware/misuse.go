package middleware

import (
	"log"
	"net/http"
	"path"
	"runtime"
)

// logMisuse logs what net/http logs when a handler misuses its writer, with the handler's line:
// net/http would name a line of this package. It reports false, and does nothing, if the wrapped
// writer isn't net/http's for HTTP/1, and may handle misuse differently.
func (x *exchange) logMisuse(what string) bool {
	srv, ok := x.req.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || !isNetHTTP1(x.w) {
		return false
	}
	logf := log.Printf
	if srv.ErrorLog != nil {
		logf = srv.ErrorLog.Printf
	}
	var pc [32]uintptr
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc[:])])
	caller, more := frames.Next()
	for more && hasAnyPrefix(caller.Function, "net/http.", ours+"middleware.") {
		caller, more = frames.Next()
	}
	logf("http: %s from %s (%s:%d)", what, caller.Function, path.Base(caller.File), caller.Line)
	return true
}
