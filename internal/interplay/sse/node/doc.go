// Package node has Node's npm package eventsource, in the versions that are in use, follow an event stream through a
// drain and a restart. It holds tests only. They need Node.js and npm on the PATH, and install pinned versions of the
// package in a temporary folder.
package node
