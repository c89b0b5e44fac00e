// Package fuzz holds the boundaries that farewells may be written at against connect-go's clients.
// It stands alone, since all that it imports is compiled once more for fuzzing.
package fuzz
