package r3labs

import (
	"net/http"
	"strconv"
)

// resume mends the Last-Event-ID of a request, which must be the Handler's own copy. The library
// replays the event that it names once more, so it is given the next one's. The largest number of
// all wraps to one below any id, which is no worse: an id that the log doesn't have is answered
// with all that it has.
func resume(r *http.Request) *http.Request {
	const header = "Last-Event-Id"
	last, err := strconv.Atoi(r.Header.Get(header))
	if err != nil {
		r.Header.Del(header)
	} else {
		r.Header.Set(header, strconv.Itoa(last+1))
	}
	return r
}
