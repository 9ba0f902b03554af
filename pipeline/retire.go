package pipeline

import "time"

// Retire ends the connection without losing replies: it takes no more requests, gives those that
// are not written to the Redirector, and closes when the others are answered or have timed out,
// after grace at the latest.
func (c *Conn) Retire() {
	c.retired = true
	if c.state != ready {
		c.Suspend()
		c.wakeAll()
		return
	}
	c.takeBack()
	c.wakeAll()
	if !c.awaited() {
		c.Close()
		return
	}
	c.attempt.After(max(c.cfg.Timeout, grace))
}

// awaited reports whether a Receiver still waits for a reply. One whose request timed out has been
// told so already.
func (c *Conn) awaited() bool {
	for pos := c.queue.head; pos != c.queue.tail; pos++ {
		if r := c.queue.at(pos).receiver; r != nil {
			if _, ok := r.(*marker); !ok {
				return true
			}
		}
	}
	return false
}

// takeBack removes the requests of which nothing was written from the output, and gives them to the
// Redirector or fails them.
func (c *Conn) takeBack() {
	unwritten := c.conn.TakeUnwritten()
	first, size := c.firstUnsent(len(unwritten))
	var unsent []entry
	for pos := first; pos != c.queue.tail; pos++ {
		unsent = append(unsent, *c.queue.at(pos))
	}
	c.queue.tail = first
	c.expected.cut(first)
	for i := range c.barriers { // the requests before it are gone
		if int32(c.barriers[i].behind-first) > 0 {
			c.barriers[i].behind = first
		}
	}
	if int32(c.unexpiredFrom-first) > 0 {
		c.unexpiredFrom = first
	}
	rest := unwritten[:len(unwritten)-size]
	if len(rest) > 0 { // of a request that was written in part
		c.conn.Append(rest)
	}
	if c.redirector != nil {
		c.sent.cut(size)
	}
	c.giveBack(unsent, ErrSuspended, unwritten[len(rest):])
	c.loop.Release(unwritten)
}

// renewGrace is how long Renew waits for replies where Config.Timeout is 0.
const renewGrace = 10 * time.Second

// Renew replaces the connection, for a server whose name now resolves to another address. No reply
// is lost: the connection takes no requests until those in flight are answered, for one timeout at
// most, and then connects anew. With Config.Once it only becomes Stale: its client decides when it
// ends.
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

// Renewing reports whether the connection waits for replies before Renew connects it anew.
func (c *Conn) Renewing() bool { return c.renewing }

// Stale reports whether the connection should not be given to another client: Renew was called on
// it.
func (c *Conn) Stale() bool { return c.stale }

// renew completes Renew once the requests in flight are answered.
func (c *Conn) renew() {
	switch {
	case !c.renewing || c.state != ready: // it was lost meanwhile
	case c.queue.len() > 0: // from a sender that did not ask whether it is Full
		c.AfterReplies(c.renew)
	default:
		c.fullUntilRenewed = false
		c.loop.Release(c.disconnect())
		c.connect()
		c.wake()
	}
}

// renewWithin returns how long Renew waits for the last replies.
func (c *Conn) renewWithin() time.Duration {
	if c.cfg.Timeout > 0 {
		return max(c.cfg.Timeout, grace)
	}
	return renewGrace
}
