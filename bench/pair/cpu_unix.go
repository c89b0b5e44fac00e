//go:build unix

package pair

import (
	"syscall"
	"time"
)

// cpuTime returns the CPU time that this process has used, at both ends of its connections.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
