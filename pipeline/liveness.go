package pipeline

import (
	"errors"
	"fmt"
	"time"
)

// A connection may go dead without a word: a firewall has forgotten it, its host
// or the way there is lost. New connections to the server may work all the while.
// So one on which nothing comes is given up: after twice the timeout, or when the
// server's system leaves what it was sent unacknowledged. A server that is merely
// busy acknowledges, and is waited for if there is no timeout.

const (
	// lookEvery is how often a connection that awaits replies is looked at, at most.
	checkEvery = time.Second

	// deafAfter is how long a server's system may leave what it was sent without
	// an acknowledgement, and be silent.
	unacknowledgedAfter = 3 * time.Second

	// lateLook is how late a look may be for what it sees to be believed: after a
	// pause of the whole process what has come in the meantime is read first.
	lateCheck = 500 * time.Millisecond
)

// errSilent is the loss of a connection on which nothing comes. It is a timeout.
var errSilent = fmt.Errorf("nothing was received for twice the timeout: %w", ErrTimeout)

// errDeaf is the loss of a connection whose other end is gone.
var errUnacknowledged = fmt.Errorf("nothing is acknowledged: %w", ErrTimeout)

// lookAfter is how long after the first request, and after that, the connection is
// looked at.
func (c *Conn) checkInterval() time.Duration {
	after := checkEvery
	if c.cfg.Timeout > 0 {
		after = min(after, c.cfg.Timeout)
	}
	if c.cfg.ReplyCheck > 0 {
		after = min(after, c.cfg.ReplyCheck)
	}
	return after
}

// watch has the connection looked at after a while. It is called when a request is
// sent and it is not to be looked at already.
func (c *Conn) scheduleCheck() {
	c.checking = true
	c.checkDue = c.loop.Now() + int64(c.checkInterval())
	c.checkTimer.Reset(c.checkDue)
}

// lookAt gives up a connection that is dead, and has others prove from time to time
// that their replies are in order.
func (c *Conn) check() {
	late := c.loop.Now()-c.checkDue > int64(lateCheck) || c.loop.Now() < c.timeoutsFrom
	if c.queue.len() == 0 {
		c.checking = false
		return
	}
	c.scheduleCheck()
	if c.state != ready || late {
		return
	}
	silent := time.Duration(c.loop.Now() - max(c.lastData, c.queue.at(c.queue.head).at))
	switch {
	case c.cfg.Timeout > 0 && !c.untimed && silent >= 2*c.cfg.Timeout && !c.conn.Paused():
		c.lost(errSilent)
	case silent >= unacknowledgedAfter && c.conn.Unacknowledged(unacknowledgedAfter):
		c.lost(errUnacknowledged)
	case c.markerDue():
		c.lastMarker = c.loop.Now()
		c.appendMarker(true)
	}
}

// marksNow reports whether it is time for a marker: under load this is so once in a
// ReplyCheck.
func (c *Conn) markerDue() bool {
	return c.cfg.ReplyCheck > 0 && !c.cfg.Once && c.markers.unanswered == 0 && !c.renewing && c.support.command() != noMarker &&
		c.loop.Now()-c.lastMarker >= int64(c.cfg.ReplyCheck)
}

// isStall reports whether err is that of a stall which was counted as a failure
// when its first request had waited for too long.
func isStall(err error) bool { return errors.Is(err, errSilent) }
