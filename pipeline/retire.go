package pipeline

import "time"

// renewGrace is how long a connection that is renewed waits for replies if there
// is no timeout.
const renewGrace = 10 * time.Second

// Renew makes the connection anew, for a server whose name has come to mean
// another address. Nothing is cut off: no request is taken until those in flight
// have been answered, for as long as one may take at most. A connection that a
// client has to itself, Once, is left to the client and is Stale from then on.
func (c *Conn) Renew() {
	switch {
	case c.renewing || c.retired:
	case c.cfg.Once:
		c.stale = true
	case c.state == ready:
		c.renewing = true
		c.attempt.After(c.renewWithin())
		c.AfterReplies(c.renew)
	case c.state == handshaking:
		c.disconnect()
		c.connect()
	}
}

// Stale tells whether the connection should be lent to nobody any more.
func (c *Conn) Stale() bool { return c.stale }

// renew goes on with Renew when what was in flight is answered.
func (c *Conn) renew() {
	switch {
	case !c.renewing || c.state != ready: // it was lost meanwhile
	case c.queue.len() > 0: // sent by who does not ask whether it is Full
		c.AfterReplies(c.renew)
	default:
		c.fullUntilRenewed = false
		c.loop.Release(c.disconnect())
		c.connect()
		c.wake()
	}
}

// renewWithin is how long the last replies may take.
func (c *Conn) renewWithin() time.Duration {
	if c.cfg.Timeout > 0 {
		return max(c.cfg.Timeout, grace)
	}
	return renewGrace
}
