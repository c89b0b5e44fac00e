//go:build !race

package draintest

const raceEnabled = false
