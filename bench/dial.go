package bench

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout bounds one connection attempt of the generator.
const dialTimeout = 5 * time.Second

// splitAddr returns the network and address of a target: "unix:/path" or "host:port".
func splitAddr(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp", addr
}

// dialSocket connects to addr and returns a non-blocking socket, which the
// caller closes. The runtime's poller does not watch it: the generator waits for its
// sockets itself.
func dialSocket(addr string) (fd int, err error) {
	network, address := splitAddr(addr)
	conn, err := net.DialTimeout(network, address, dialTimeout)
	if err != nil {
		return -1, fmt.Errorf("dial %s: %w", addr, err)
	}
	defer conn.Close()
	return duplicate(addr, conn)
}

// duplicate returns another descriptor of a connection's socket.
func duplicate(addr string, conn net.Conn) (fd int, err error) {
	raw, err := conn.(interface {
		SyscallConn() (syscall.RawConn, error)
	}).SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("socket of %s: %w", addr, err)
	}
	var dupErr error
	err = raw.Control(func(orig uintptr) {
		fd, dupErr = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = dupErr
	}
	if err != nil {
		return -1, fmt.Errorf("socket of %s: %w", addr, err)
	}
	// net sets TCP_NODELAY and non-blocking mode, and both belong to the
	// socket, so the duplicate has them too.
	return fd, nil
}
