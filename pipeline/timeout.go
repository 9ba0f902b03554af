package pipeline

import (
	"math"

	"ringway/eventloop"
)

// expire is called when the oldest request may have waited for too long.
func (c *Conn) expire() {
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

// expireSent answers the requests from before limit. Their places in the queue
// stay until the late replies have come.
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

// expireEntry tells the receiver of a request that was sent that its time is
// over. It reports false if nobody waits for the reply any more.
func (c *Conn) expireEntry(e *entry) bool {
	r := e.receiver
	if r == nil {
		return false
	}
	if f, ok := r.(*marker); ok {
		f.late = true
		return false
	}
	e.receiver = nil
	r.Fail(e.tag, &Failure{Cause: ErrTimeout, Sent: true, Server: c.cfg.Name}, nil)
	return true
}

// expireHeld answers the requests from before limit and forgets them.
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
	held := c.buffered
	c.buffered = nil
	if rest := held[size:]; len(rest) > 0 {
		c.buffered = append(c.loop.Buffer(len(rest)), rest...)
	}
	failUnsent(late, c.failure(ErrTimeout), held)
	c.loop.Release(held)
	c.wake()
	c.passBarriers()
	return true
}

// splitSent removes the requests of which a byte was written from the queue and
// returns them. The others stay, with their bytes held for the next connection;
// but those that have timed out are gone, since their clients were told so.
// It takes unwritten, the bytes that the last connection did not write.
func (c *Conn) splitSent(unwritten []byte) (sent []entry) {
	first, size := c.firstUnsent(len(unwritten))
	c.sent = sentLog{} // its last owner releases it
	for c.queue.head != first {
		sent = append(sent, c.queue.pop())
	}
	rest := unwritten[len(unwritten)-size:]
	if size > 0 && c.buffered == nil {
		c.buffered = c.loop.Buffer(size)
	}
	for n := c.queue.len(); n > 0; n-- {
		e := c.queue.pop()
		switch {
		case e.receiver == nil:
		case isMarker(e.receiver) && len(c.buffered) == 0:
			e.receiver.Fail(e.tag, nil, nil) // what it fences was sent, over the connection that is lost
		default:
			c.buffered = append(c.buffered, rest[:e.size]...)
			c.queue.push(e)
		}
		rest = rest[e.size:]
	}
	c.expected.passed(c.queue.head)
	c.loop.Release(unwritten)
	return sent
}

// firstUnsent returns the position of the first request of which nothing was
// written, if so many bytes at the end were not, and the bytes from there.
func (c *Conn) firstUnsent(unwritten int) (first uint32, size int) {
	first = c.queue.tail
	for first != c.queue.head && size+int(c.queue.at(first-1).size) <= unwritten {
		first--
		size += int(c.queue.at(first).size)
	}
	return first, size
}

// fail tells the receivers of requests that were sent.
func failEntries(sent []entry, f *Failure) {
	told := 0
	defer func() {
		if told < len(sent) { // this one panicked, the others are to hear of it all the same
			failEntries(sent[told+1:], f)
			abandon(sent[told].receiver)
		}
	}()
	for ; told < len(sent); told++ {
		if e := &sent[told]; e.receiver != nil {
			e.receiver.Fail(e.tag, f, nil)
		}
	}
}

// failUnsent tells the receivers of requests that were not sent and whose bytes
// are at the start of held.
func failUnsent(unsent []entry, f *Failure, held []byte) {
	told := 0
	defer func() {
		if told < len(unsent) {
			failUnsent(unsent[told+1:], f, held[unsent[told].size:])
			abandon(unsent[told].receiver)
		}
	}()
	for ; told < len(unsent); told++ {
		e := &unsent[told]
		e.receiver.Fail(e.tag, f, held[:e.size])
		held = held[e.size:]
	}
}

// abandon ends a receiver that has panicked, or who waits for it for ever.
func abandon(r Receiver) {
	if a, ok := r.(eventloop.Abandoner); ok {
		a.Abandon()
	}
}

// Abandon is eventloop.Abandoner's: the receiver of a reply may have panicked.
func (c *Conn) Abandon() {
	r := c.answering
	c.answering = nil
	if c.state == ready || c.state == handshaking {
		c.lost(eventloop.ErrPanicked) // else it was lost when its timer's function panicked
	}
	abandon(r)
}

// failHeld fails all requests in the queue, none of which was sent.
func (c *Conn) failBuffered(err error) {
	var unsent []entry
	for c.queue.len() > 0 {
		unsent = append(unsent, c.queue.pop())
	}
	c.expected.passed(c.queue.head)
	c.fullUntilRenewed = false
	held := c.buffered
	c.buffered = nil
	defer func() {
		c.loop.Release(held)
		c.wake()
	}()
	c.giveBack(unsent, err, held)
}
