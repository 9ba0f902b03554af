package eventloop

import "golang.org/x/sys/unix"

// InKernel returns how many bytes that were written the peer has not acknowledged yet, so that the
// kernel holds them. It costs a system call.
func (c *Conn) InKernel() int {
	if c.fd < 0 {
		return 0
	}
	n, err := unix.IoctlGetInt(c.fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}
