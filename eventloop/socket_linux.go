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

// setKeepAliveTimes divides the time for an answer among the probes.
func setKeepAliveTimes(fd, seconds int) error {
	for option, n := range map[int]int{
		syscall.TCP_KEEPIDLE:  seconds,
		syscall.TCP_KEEPINTVL: max(1, seconds/keepAliveProbes),
		syscall.TCP_KEEPCNT:   keepAliveProbes,
	} {
		if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, option, n); err != nil {
			return err
		}
	}
	return nil
}

func accept(fd int) (int, syscall.Sockaddr, error) {
	return syscall.Accept4(fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
}
