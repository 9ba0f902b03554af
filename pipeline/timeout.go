package pipeline

import (
	"math"

	"ringway/stats"
)

// expire is called by the deadline timer when the oldest request may have waited for too long.
func (c *Conn) expire() {
	if c.cfg.Timeout == 0 {
		return // SetConfig has taken the timeout away
	}
	if c.loop.Now() < c.timeoutsFrom {
		c.deadline.After(catchUpTime)
		return
	}
	limit := c.loop.Now() - int64(c.cfg.Timeout)
	var expired bool
	if c.state == ready {
		expired = c.expireSent(limit)
	} else {
		expired = c.expireBuffered(limit)
	}
	// One stall is one failure, however many requests it holds up.
	if expired && c.loop.Now()-c.lastTimeout >= int64(c.cfg.Timeout) {
		c.lastTimeout = c.loop.Now()
		c.obs.Failed(ErrTimeout)
	}
	if c.retired && c.state == ready && !c.awaited() {
		c.Close()
	}
}

// expireSent fails the requests from before limit. Their entries stay in the queue until the late
// replies have come.
func (c *Conn) expireSent(limit int64) (expired bool) {
	if int32(c.unexpiredFrom-c.queue.head) < 0 {
		c.unexpiredFrom = c.queue.head
	}
	due := int64(math.MaxInt64)
	if c.streaming {
		// A large reply is in time as long as it goes on, but the requests
		// behind it need not wait for its end.
		if c.lastRead > limit {
			due = c.lastRead
			if c.unexpiredFrom == c.queue.head {
				c.unexpiredFrom++
			}
		} else {
			expired = c.expireEntry(c.queue.at(c.queue.head))
		}
	}
	for ; c.unexpiredFrom != c.queue.tail; c.unexpiredFrom++ {
		e := c.queue.at(c.unexpiredFrom)
		if e.at > limit {
			due = min(due, e.at)
			break
		}
		expired = c.expireEntry(e) || expired
	}
	if due != math.MaxInt64 {
		c.deadline.Reset(due + int64(c.cfg.Timeout))
	}
	return expired
}

// expireEntry tells the Receiver of a request that was sent that it has timed out. It reports false
// if no Receiver waits for the reply.
func (c *Conn) expireEntry(e *entry) bool {
	r := e.receiver
	if r == nil {
		return false
	}
	if m, ok := r.(*marker); ok {
		m.late = true
		return false
	}
	e.receiver = nil
	c.countTimeouts(1)
	if c.stats != nil {
		*c.stats.Answer = stats.Answer{Server: c.stats, Sent: e.at}
		defer func() { c.stats.Answer.Server = nil }()
	}
	r.Fail(e.tag, &Failure{Cause: ErrTimeout, Sent: true, Server: c.cfg.Name}, nil)
	return true
}

func (c *Conn) countTimeouts(n int) {
	if c.stats != nil {
		c.stats.Timeouts += uint64(n)
	}
}

// expireBuffered fails the buffered requests from before limit and removes them.
func (c *Conn) expireBuffered(limit int64) (expired bool) {
	var late []entry
	size := 0
	for c.queue.len() > 0 && c.queue.at(c.queue.head).at <= limit {
		e := c.queue.pop()
		late = append(late, e)
		size += int(e.size)
	}
	c.expected.passed(c.queue.head)
	if c.queue.len() > 0 {
		c.deadline.Reset(c.queue.at(c.queue.head).at + int64(c.cfg.Timeout))
	}
	if len(late) == 0 {
		return false
	}
	buffered := c.buffered
	c.buffered = nil
	if rest := buffered[size:]; len(rest) > 0 {
		c.buffered = append(c.loop.Buffer(len(rest)), rest...)
	}
	c.countTimeouts(len(late))
	failUnsent(late, c.failure(ErrTimeout), buffered)
	c.loop.Release(buffered)
	c.wake()
	c.passBarriers()
	return true
}
