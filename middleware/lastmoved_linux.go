//go:build linux && !386 && !s390x

package middleware

import (
	"net"
	"syscall"
	"time"
	"unsafe"
)

// lastMoved asks the kernel when c last sent or received a byte, and reports whether it knows: it
// does of TCP. 386 and s390x have no number for getsockopt in package syscall.
func lastMoved(c net.Conn) (last time.Time, known bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return last, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return last, false
	}
	var info syscall.TCPInfo
	err = raw.Control(func(fd uintptr) {
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		known = errno == 0 && size >= uint32(unsafe.Offsetof(info.Last_ack_recv))
	})
	ago := time.Duration(min(info.Last_data_sent, info.Last_data_recv)) * time.Millisecond
	return time.Now().Add(-ago), known && err == nil
}
