package pipeline

import (
	"errors"
	"fmt"
	"time"
)

// A connection may go dead without an end that the system reports: a firewall has dropped its
// state, the server's host or the network is gone. New connections to the server may work all the
// while. So a connection in use is checked, and closed if nothing was received for twice the
// timeout, or if the server's system does not acknowledge what it was sent. A server that is merely
// busy acknowledges, so without a timeout it is waited for.

const (
	// checkEvery is the longest interval between two checks of a connection that awaits replies.
	checkEvery = time.Second

	// unacknowledgedAfter is how long a server's system may acknowledge nothing, and the server
	// send nothing.
	unacknowledgedAfter = 3 * time.Second

	// lateCheck is the delay from which on a check is not believed: after a pause of the whole
	// process, what has come in the meantime is read first.
	lateCheck = 500 * time.Millisecond
)

// errSilent is the cause when nothing was received for too long. It is a timeout.
var errSilent = fmt.Errorf("nothing was received for twice the timeout: %w", ErrTimeout)

// errUnacknowledged is the cause when the server's system acknowledges nothing.
var errUnacknowledged = fmt.Errorf("the server's system acknowledges nothing: %w", ErrTimeout)

// checkInterval returns the time between two checks.
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

// scheduleCheck arms the timer for the next check. It is called when a request is sent and no check
// is due.
func (c *Conn) scheduleCheck() {
	c.checking = true
	c.checkDue = c.loop.Now() + int64(c.checkInterval())
	c.checkTimer.Reset(c.checkDue)
}

// check closes the connection if it is dead, and else sends a marker if one is due.
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

// markerDue reports whether to send a marker: under load once in a Config.ReplyCheck.
func (c *Conn) markerDue() bool {
	return c.cfg.ReplyCheck > 0 && !c.cfg.Once && c.markers.unanswered == 0 && !c.renewing && c.support.command() != noMarker &&
		c.loop.Now()-c.lastMarker >= int64(c.cfg.ReplyCheck)
}

// isStall reports whether err is the end of a stall that was counted as a failure when its first
// request timed out.
func isStall(err error) bool { return errors.Is(err, errSilent) }
