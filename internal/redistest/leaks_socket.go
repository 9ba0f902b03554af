package redistest

import (
	"fmt"
	"net/netip"
	"strconv"
	"syscall"
)

// socketNames describes the ends of the socket with this descriptor; "" if it is not a
// socket.
func socketNames(descriptor string) string {
	fd, err := strconv.Atoi(descriptor)
	if err != nil {
		return ""
	}
	local, err := syscall.Getsockname(fd)
	if err != nil {
		return ""
	}
	peer, err := syscall.Getpeername(fd)
	if err != nil {
		return fmt.Sprintf(" (socket at %s)", sockaddrName(local))
	}
	return fmt.Sprintf(" (socket from %s to %s)", sockaddrName(local), sockaddrName(peer))
}

func sockaddrName(sa syscall.Sockaddr) string {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)).String()
	case *syscall.SockaddrUnix:
		return fmt.Sprintf("unix %q", sa.Name)
	}
	return "an address of another family"
}
