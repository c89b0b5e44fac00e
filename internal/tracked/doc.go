// Package tracked holds the open responses of a server: what is known of each one from before its
// handler runs until no byte of it can be written any more, and what a drain has in store for it.
//
// Package stream shows a handler its own part of a [Response], package middleware works with the
// rest. Nothing here writes to a connection, starts a goroutine or keeps a timer.
package tracked
