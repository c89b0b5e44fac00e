// Package causes has tests of what handlers learn of their response's end through the errors of
// other libraries: whether a drain ended it, or its client.
package causes
