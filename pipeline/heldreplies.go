package pipeline

import (
	"math"
	"time"
)

// The replies of a server that may have lost its shard a moment ago may be of no
// worth. So they stay where they are until that is known.

// caughtUp is how long after ReleaseReplies timeouts are not believed, and how
// often that is looked at: what has come by then is read first.
const catchUpTime = 10 * time.Millisecond

// HoldReplies has nothing read of what the server answers until ReleaseReplies or
// GiveUp, and no request times out meanwhile. It reports false, and does nothing,
// where a reply may take any time.
func (c *Conn) HoldReplies() bool {
	if c.untimed {
		return false
	}
	c.repliesHeld, c.timeoutsFrom = true, math.MaxInt64
	if c.state == ready {
		c.conn.Pause()
	}
	return true
}

// ReleaseReplies ends HoldReplies, and nobody has noticed it.
func (c *Conn) ReleaseReplies() {
	if !c.endHeldReplies() || c.state != ready {
		return
	}
	c.conn.Resume()
	c.conn.Redeliver()
}

// GiveUp ends HoldReplies on the connection to a server that has lost its shard: it
// is closed. What was sent is of unknown outcome, what was not is the Redirector's.
// The next request makes the connection anew, unless that is not to come back.
func (c *Conn) GiveUp() {
	if !c.endHeldReplies() || c.state >= down {
		return
	}
	if c.cfg.Once {
		c.Suspend()
		return
	}
	wasReady := c.state == ready
	log := c.sent
	unwritten := c.disconnect()
	c.attempt.Stop()
	c.state, c.awaitsSuspend = idle, false
	defer func() { c.handshakeEnded(c.failure(ErrSuspended)) }()
	defer c.passBarriers()
	defer c.failBuffered(ErrSuspended)
	if wasReady {
		defer log.release(c.loop)
		c.failSent(c.splitSent(unwritten), ErrSuspended, &log)
	}
}

// endHeldReplies reports whether replies were held.
func (c *Conn) endHeldReplies() bool {
	held := c.repliesHeld
	if held {
		c.repliesHeld, c.timeoutsFrom = false, c.loop.Now()+int64(catchUpTime)
	}
	return held
}
