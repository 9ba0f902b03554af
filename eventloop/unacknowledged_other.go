//go:build !linux

package eventloop

import "time"

// Unacknowledged reports whether the peer's system has acknowledged nothing for so long. Here this
// can't be asked, and the answer is false: the system closes such connections by itself, later.
func (c *Conn) Unacknowledged(time.Duration) bool { return false }
