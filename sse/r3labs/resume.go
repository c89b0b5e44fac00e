package r3labs

import (
	"net/http"
	"strconv"
)

// resume changes the Last-Event-ID of r, which must be the Handler's own copy, and returns r. The
// library replays from the event that it names, so it becomes the next one's. The largest int wraps
// to the smallest: for an id that its log doesn't have, the library replays the whole log.
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
