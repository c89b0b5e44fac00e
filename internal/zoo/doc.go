// Package zoo is the root of a module of tests: clients that other people wrote, through a roll
// from one process to the next. It is a module of its own so that nobody who uses lastcall needs
// what these tests need.
//
// A roll stops a server with SIGTERM, waits for its exit, and starts another at the same address 1
// s later. Every client of an event stream has to be back then with its Last-Event-ID, every answer
// that was on its way has to be whole, and every WebSocket closed in order. The tests do the same
// behind nginx and HAProxy, which have two servers each.
//
// They need Node.js with npm, Chromium, Firefox, nginx and HAProxy. A test is skipped where one of
// the last four is missing; LASTCALL_BROWSER, LASTCALL_FIREFOX, LASTCALL_NGINX and LASTCALL_HAPROXY
// say where they are, and with them set nothing is skipped. docs/clients.md has the results.
//
//	cd internal/zoo && go test -v .
package zoo
