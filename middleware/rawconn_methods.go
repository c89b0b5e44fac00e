package middleware

import (
	"io"
	"net"
	"syscall"
)

// The optional methods of a connection that the handler gets as well.
type (
	closeReader interface{ CloseRead() error }
	closeWriter interface{ CloseWrite() error }
)

// handle returns what the handler gets: the rawConn, with the methods that the connection has of
// CloseRead and CloseWrite (proxies ask for them to pass a half-close on), ReadFrom and WriteTo
// (with which the kernel copies by itself), and SyscallConn. The drain writes nothing into such a
// connection, so nothing has to be followed but the time of the last byte, which what is moved
// through SyscallConn doesn't change.
func (c *rawConn) handle() net.Conn {
	r, hasR := c.Conn.(closeReader)
	w, hasW := c.Conn.(closeWriter)
	s, hasS := c.Conn.(syscall.Conn)
	from, hasFrom := c.Conn.(io.ReaderFrom)
	to, hasTo := c.Conn.(io.WriterTo)
	k := copier{c, from, to}
	switch [4]bool{hasR, hasW, hasS, hasFrom && hasTo} {
	case [4]bool{true, true, true, true}: // *net.TCPConn
		return struct {
			*rawConn
			closeReader
			closeWriter
			syscall.Conn
			copier
		}{c, r, w, s, k}
	case [4]bool{false, false, false, true}:
		return struct {
			*rawConn
			copier
		}{c, k}
	case [4]bool{false, false, true, false}:
		return struct {
			*rawConn
			syscall.Conn
		}{c, s}
	case [4]bool{false, false, true, true}:
		return struct {
			*rawConn
			syscall.Conn
			copier
		}{c, s, k}
	case [4]bool{false, true, false, false}: // *tls.Conn
		return struct {
			*rawConn
			closeWriter
		}{c, w}
	case [4]bool{false, true, false, true}:
		return struct {
			*rawConn
			closeWriter
			copier
		}{c, w, k}
	case [4]bool{false, true, true, false}:
		return struct {
			*rawConn
			closeWriter
			syscall.Conn
		}{c, w, s}
	case [4]bool{false, true, true, true}:
		return struct {
			*rawConn
			closeWriter
			syscall.Conn
			copier
		}{c, w, s, k}
	case [4]bool{true, false, false, false}:
		return struct {
			*rawConn
			closeReader
		}{c, r}
	case [4]bool{true, false, false, true}:
		return struct {
			*rawConn
			closeReader
			copier
		}{c, r, k}
	case [4]bool{true, false, true, false}:
		return struct {
			*rawConn
			closeReader
			syscall.Conn
		}{c, r, s}
	case [4]bool{true, false, true, true}:
		return struct {
			*rawConn
			closeReader
			syscall.Conn
			copier
		}{c, r, s, k}
	case [4]bool{true, true, false, false}:
		return struct {
			*rawConn
			closeReader
			closeWriter
		}{c, r, w}
	case [4]bool{true, true, false, true}:
		return struct {
			*rawConn
			closeReader
			closeWriter
			copier
		}{c, r, w, k}
	case [4]bool{true, true, true, false}: // *net.UnixConn
		return struct {
			*rawConn
			closeReader
			closeWriter
			syscall.Conn
		}{c, r, w, s}
	}
	return c
}
