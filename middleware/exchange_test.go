package middleware

import (
	"net/http"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// What a finite request costs is for the most part the memory that it takes. With
// the request's copy, of 304 bytes in Go 1.26, and 8 of the runtime's own this
// fills a size class of the runtime, 576 bytes; the next one is 640.
func TestAnExchangeIsSmall(t *testing.T) {
	assert.LessOrEqual(t, unsafe.Sizeof(exchange{})-unsafe.Sizeof(http.Request{}), uintptr(264),
		"what only streams or drains need can be made when they need it")
}
