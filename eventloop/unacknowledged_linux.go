package eventloop

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Unacknowledged reports whether the peer's system has acknowledged nothing for d although
// something was sent to it repeatedly: the network, or the peer's machine, is gone. A peer that
// merely does not read is another case: its system acknowledges each probe. That is why
// TCP_USER_TIMEOUT, which counts that time too, is not used.
func (c *Conn) Unacknowledged(d time.Duration) bool {
	if c.relay != nil {
		deaf := false
		if raw, ok := c.relay.Conn().(syscall.Conn); ok {
			if control, err := raw.SyscallConn(); err == nil {
				control.Control(func(fd uintptr) { deaf = isUnacknowledged(int(fd), d) })
			}
		}
		return deaf
	}
	return c.fd >= 0 && isUnacknowledged(c.fd, d)
}

// minRetransmits is how many times in a row something must have been sent again.
const minRetransmits = 2

func isUnacknowledged(fd int, d time.Duration) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return false // no TCP
	}
	again := max(info.Retransmits, info.Probes) >= minRetransmits
	return again && time.Duration(info.Last_ack_recv)*time.Millisecond >= d
}
