package middleware

import (
	"runtime"
	"strings"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

// hijackedBy returns a program counter in the handler that hijacks the connection. The package that
// called Hijack is taken for a library, and who called that for the handler. If that is net/http,
// the package is the handler's own, and its outermost function is returned. Methods called Hijack
// are passed over: those of writers that others have wrapped around ours.
func hijackedBy() uintptr {
	var callers [16]uintptr
	n := runtime.Callers(3, callers[:])
	library, outermost := "", uintptr(0)
	for _, pc := range callers[:n] {
		name := functionAt(pc)
		switch pkg := packageOf(name); {
		case pkg == "net/http" && library == "", pkg == ours+"middleware", strings.HasSuffix(name, ".Hijack"):
		case pkg == "net/http" || pkg == "runtime":
			return outermost
		case library == "" || pkg == library:
			library, outermost = pkg, pc
		default:
			return pc
		}
	}
	return outermost
}

// functionAt returns the name of the function that a return address is in.
func functionAt(pc uintptr) string {
	if f := runtime.FuncForPC(pc - 1); f != nil {
		return f.Name()
	}
	return ""
}

// packageOf returns the path of a function's package.
func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/') + 1
	base, _, _ := strings.Cut(function[slash:], ".")
	return function[:slash] + base
}

// hijackerOf returns the name of the function that hijacked the response's connection, if its
// handler has returned since and nobody has closed the connection: it may have been forgotten. Else
// it returns "".
func hijackerOf(r *tracked.Response) string {
	c, ok := r.Carrier().(connCarrier)
	if !ok || c.common().past.Load() != handlerReturned {
		return ""
	}
	if name := functionAt(c.common().by); name != "" {
		return name
	}
	return "an unknown function"
}
