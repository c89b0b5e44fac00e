// Package xconnect has net/http take WebSockets over HTTP/2 (RFC 8441), in a program that imports
// it. net/http looks into the environment once, as it is initialized, and that comes behind any
// package that imports os alone and has a path that sorts before its own (the Go specification,
// "Package initialization").
package xconnect

import "os"

func init() {
	if err := os.Setenv("GODEBUG", os.Getenv("GODEBUG")+",http2xconnect=1"); err != nil {
		panic(err)
	}
}
