package eventloop

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Deaf reports whether the peer's system has acknowledged nothing for so long though
// it was sent something, again and again: the way there, or the peer's machine, is
// gone. A peer that merely does not read is not deaf: its system says so each time
// it is asked. That is why TCP_USER_TIMEOUT, which counts that time too, is not used.
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

// unanswered is how many times in a row something must have been sent again.
const minRetransmits = 2

func isUnacknowledged(fd int, d time.Duration) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return false // no TCP
	}
	again := max(info.Retransmits, info.Probes) >= minRetransmits
	return again && time.Duration(info.Last_ack_recv)*time.Millisecond >= d
}
