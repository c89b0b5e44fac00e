// Package node has the client of Node's most used WebSocket package, ws, talk to servers under lastcall: the same words
// against bare servers and wrapped ones, and a drain in front of it. It holds tests and what
// they share with those of the folder above. They need Node.js and npm on the PATH, and install a pinned version of ws in a
// temporary folder.
package node
