package middleware

import (
	"net/http"
	"reflect"
	"sync/atomic"
)

// inner tells what the writer inside is, and what is known of its header.
type inner uint8

const (
	innerUntouched inner = iota // net/http's own for HTTP/1, which holds a short body back; the handler hasn't asked for its header
	innerAsked                  // the same, and it has
	innerForeign                // another, which may send at once what it gets
	innerMute                   // such a one whose header went out empty, and that hasn't been settled
	innerEncoding               // such a one that said before the handler came that it encodes the body
)

// A writerType is what there is to know of a type of http.ResponseWriter.
type writerType struct {
	is     reflect.Type
	inside inner // of a writer that nobody has used yet
	has    abilities
}

// typeOf tells net/http's writer by its type's name, the type itself being out of
// reach.
func typeOf(w http.ResponseWriter) writerType {
	t := writerType{is: reflect.TypeOf(w), inside: innerForeign, has: abilitiesOf(w)}
	if t.is != nil && t.is.String() == "*http.response" && t.is.Elem().PkgPath() == "net/http" {
		t.inside = innerUntouched
	}
	return t
}

// seen is the type of writer that came first in each version of HTTP. Nearly all
// that come to one place are of the same, so that it need be found out only once.
type seen [4]atomic.Pointer[writerType]

func (s *seen) typeOf(w http.ResponseWriter, r *http.Request) (inner, abilities) {
	slot := &s[uint(r.ProtoMajor)%uint(len(s))]
	known := slot.Load()
	if known != nil && known.is == reflect.TypeOf(w) {
		return known.inside, known.has
	}
	t := typeOf(w)
	if known == nil {
		first := t // or t would be an allocation for all that are of another type
		slot.Store(&first)
	}
	return t.inside, t.has
}
