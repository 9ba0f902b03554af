package pipeline

import (
	"math"
	"time"
)

// When a server may have lost its shard, its replies may be wrong. They are held, unread, until
// that is known.

// catchUpTime is how long no request times out after ReleaseReplies, so that replies that came
// meanwhile are read first. The deadline timer is postponed by as much.
const catchUpTime = 10 * time.Millisecond

// HoldReplies stops reading the server's replies until ReleaseReplies or GiveUp. No request times
// out meanwhile. It reports false, and does nothing, on a connection whose reply may take any time
// (SendUntimed).
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

// ReleaseReplies ends HoldReplies: the held replies are read and delivered.
func (c *Conn) ReleaseReplies() {
	if !c.endHeldReplies() || c.state != ready {
		return
	}
	c.acks.full = false
	c.conn.Resume()
	c.conn.Redeliver()
}

// GiveUp ends HoldReplies on the connection to a server that has lost its shard, and closes it.
// What was sent fails with an unknown outcome; what was not sent goes to the Redirector. The next
// request makes a new connection, except with Config.Once.
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
