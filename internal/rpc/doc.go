// Package rpc is a module of tests: lastcall together with the libraries of remote procedure calls
// that net/http serves, connect-go in its three protocols and grpc-go's ServeHTTP, each with the
// library's own clients. It is a module of its own so that nobody who uses lastcall needs what
// these tests need.
//
//	cd internal/rpc && go test -race ./...
//	go test -rounds 200 -run TestDrain          # as many rounds as CI has without -race
//	go test -seed 17 -rounds 1 -run TestDrain   # one round again
package rpc
