//go:build !linux

package eventloop

import "time"

// Deaf reports whether the peer's system has acknowledged nothing for so long though
// it was sent something. It is not known here; the system gives such connections up
// by itself, later.
func (c *Conn) Unacknowledged(time.Duration) bool { return false }
