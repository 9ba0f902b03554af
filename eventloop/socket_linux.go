package eventloop

import "syscall"

// soReusePort is SO_REUSEPORT, which the syscall package does not name for
// every architecture.
const soReusePort = 0xf

func setReusePort(_, _ string, c syscall.RawConn) (err error) {
	cerr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
	})
	if cerr != nil {
		return cerr
	}
	return err
}

func accept(fd int) (int, syscall.Sockaddr, error) {
	return syscall.Accept4(fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
}
