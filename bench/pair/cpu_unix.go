//go:build unix

package pair

import (
	"syscall"
	"time"
)

// cpuTime is what this process has used, both ends of its connections included.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
