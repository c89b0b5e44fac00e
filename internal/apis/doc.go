// Package apis is the root of a module of tests: the APIs of language models and of GraphQL, with
// the libraries that serve and call them, through a drain and a restart. It is a module of its own
// so that nobody who uses lastcall needs what these tests need.
//
// A round is a server that drains at a random moment, calls and subscriptions that begin around it,
// and the next server at the same address. No result may be lost that its handler has produced, and
// whoever was told to come back, or came too late, has to get what it asked for from the next
// server. A failure names its seed:
//
//	cd internal/apis && go test ./llm -run TestOpenAI -rounds 1 -seed 12345
//
// The tests of both packages need Node.js with npm.
package apis
