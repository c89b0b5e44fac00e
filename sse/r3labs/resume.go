package r3labs

import (
	"net/http"
	"strconv"
)

// resume changes the Last-Event-ID of r, which must be the Handler's own copy, and returns r. The
// library begins with the event that it names, which the client has: resume names the next one. The
// largest int, which no log has, wraps to the smallest, from which the library replays all.
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
