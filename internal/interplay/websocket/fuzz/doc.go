// Package fuzz holds the frames that wsconn sees against those of gobwas/ws. It stands alone, since
// all that it imports is compiled once more for fuzzing.
package fuzz
