// Package status has handlers that show a [middleware.Drainer] to operators, and let them command
// it. None is mounted by itself:
//
//	admin := http.NewServeMux()
//	admin.Handle("GET /drain", status.Handler(d))         // a page, JSON, or an event stream of it
//	admin.Handle("POST /drain", status.Control(d, check)) // begins a drain, takes it back, sheds
//	admin.Handle("/prestop", status.PreStop(d, check))    // for a container's preStop hook
//	admin.Handle("GET /ready", d.Readiness())
//
// Serve them on a port of its own, which no client can reach, and outside of [middleware.Graceful]:
// inside, their requests are refused while the server drains.
package status
