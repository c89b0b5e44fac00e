package main

import (
	"net/http"
	"strconv"
	"time"
)

// downloadTick is how often a download sends what is due.
const downloadTick = 50 * time.Millisecond

// download sends a number of bytes of a known pattern at a fixed rate.
func download(w http.ResponseWriter, r *http.Request) {
	q := query(r)
	size := q.integer("bytes", 10<<20, 0, 1<<36)
	rate := q.integer("rate", 1<<20, 1, 1<<32) // bytes a second
	chunked := q.integer("chunked", 0, 0, 1) == 1
	if q.refused(w) {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	if !chunked {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}

	control := http.NewResponseController(w)
	tick := time.NewTicker(downloadTick)
	defer tick.Stop()
	began := time.Now()
	buf := make([]byte, 32<<10)
	for sent := int64(0); sent < size; {
		// What is due is computed from the start, so that a late tick costs nothing.
		due := min(size, int64((time.Since(began)+downloadTick).Seconds()*float64(rate)))
		for sent < due {
			n := min(due-sent, int64(len(buf)))
			fill(buf[:n], sent)
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			sent += n
		}
		if control.Flush() != nil {
			return
		}
		if sent == size {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// fill writes the part of the pattern that starts at offset. No part equals the one beside it, so
// that a client can find bytes that were lost, sent twice or displaced.
func fill(p []byte, offset int64) {
	for i := range p {
		at := offset + int64(i)
		p[i] = byte(at ^ at>>8 ^ at>>16 ^ at>>24)
	}
}
