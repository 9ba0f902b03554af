//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package eventloop

import "syscall"

func setReusePort(_, _ string, c syscall.RawConn) (err error) {
	cerr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEPORT, 1)
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// setKeepAliveTimes leaves the times to the system: the BSDs name the options differently, or have
// none.
func setKeepAliveTimes(int, int) error { return nil }

func accept(fd int) (int, syscall.Sockaddr, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	nfd, sa, err := syscall.Accept(fd)
	if err != nil {
		return -1, nil, err
	}
	syscall.CloseOnExec(nfd)
	if err := syscall.SetNonblock(nfd, true); err != nil {
		syscall.Close(nfd)
		return -1, nil, err
	}
	return nfd, sa, nil
}
