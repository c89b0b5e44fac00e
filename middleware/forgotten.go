package middleware

import (
	"runtime"
	"strings"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

// hijackedBy returns a program counter in the handler's function that hijacks the connection: the one
// that has called the library whose function called Hijack, or else that one itself. Writers of
// others in between, whose own method Hijack it is, are passed over.
func hijackedBy() uintptr {
	var pc [16]uintptr
	n := runtime.Callers(3, pc[:])
	library, last := "", uintptr(0)
	for _, at := range pc[:n] {
		name := functionAt(at)
		switch pkg := packageOf(name); {
		case pkg == "net/http" && library == "", strings.HasSuffix(pkg, "/lastcall/middleware"), strings.HasSuffix(name, ".Hijack"):
		case pkg == "net/http" || pkg == "runtime":
			return last
		case library == "":
			library, last = pkg, at
		case pkg == library:
			last = at
		default:
			return at
		}
	}
	return last
}

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

// forgotten returns the name of the function that hijacked the response's connection, if its handler
// has returned since and nobody has closed the connection; else "".
func forgotten(r *tracked.Response) string {
	c, ok := r.Carrier().(interface{ of() *hijacked })
	if !ok {
		return ""
	}
	h := c.of()
	if h == nil || !h.returned.Load() || h.remaining.Load() != 1 {
		return ""
	}
	if name := functionAt(h.by); name != "" {
		return name
	}
	return "an unknown function"
}
