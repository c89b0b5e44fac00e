//go:build !unix

package main

import "time"

// cpuTime returns zero: there is no portable way to ask for it.
func cpuTime() time.Duration { return 0 }
