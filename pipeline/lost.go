package pipeline

import (
	"errors"
	"fmt"
	"io"

	"ringway/eventloop"
)

// lost handles the end of the connection. Requests of which a byte was written fail; the others go
// out over a new connection. A server that closes a connection on which nothing is in flight has
// not failed: Redis does so with idle clients.
func (c *Conn) lost(err error) {
	c.attempts.ended.Add(1)
	if c.stats != nil {
		c.stats.Disconnects++
		if errors.Is(err, io.EOF) {
			c.stats.Closed++
		}
	}
	wasReady := c.state == ready
	if c.naming && wasReady {
		c.support.lostName()
	}
	log := c.sent
	unwritten := c.disconnect()
	if !wasReady {
		c.attemptFailed(fmt.Errorf("handshake: %w", err))
		return
	}
	c.state = idle
	if c.cfg.Once || c.retired {
		c.state = suspended
		c.attempt.Stop()
	}
	sent := c.splitSent(unwritten)
	ours := errors.Is(err, eventloop.ErrPanicked) // the server is not to blame
	c.pingFirst = c.pingFirst || (len(sent) > 0 || !c.answered) && !ours
	defer c.afterFailures(&log)
	defer c.failSent(sent, err, &log)
	suspends := false
	if err != errMarkerRefused && !isStall(err) && !ours && (len(sent) > 0 || !eventloop.IsOrderly(err)) {
		suspends = c.obs.Failed(err)
	}
	switch {
	case c.state == suspended:
		c.failBuffered(err)
	case c.queue.len() == 0:
		c.fullUntilRenewed = false
	case !suspends:
		c.connect()
	}
}

// afterFailures does what is due after requests have failed, even if one of their Receivers has
// panicked.
func (c *Conn) afterFailures(log *sentLog) {
	log.release(c.loop)
	defer c.wake() // no reply will come and wake them
	c.passBarriers()
}

// failSent fails requests that were sent, except reads that can be sent again.
func (c *Conn) failSent(sent []entry, err error, log *sentLog) {
	again, requests := c.resendable(sent, log)
	failEntries(sent[:len(sent)-len(again)], &Failure{Cause: err, Sent: true, Server: c.cfg.Name})
	c.giveBack(again, err, requests)
}

// disconnect closes the socket and returns the requests' bytes that it has not taken, in a buffer
// for Loop.Release.
func (c *Conn) disconnect() (unwritten []byte) {
	if c.conn == nil {
		return nil
	}
	unwritten = c.conn.TakeUnwritten()
	if c.state != ready { // it is the handshake's
		c.loop.Release(unwritten)
		unwritten = nil
	}
	c.hangUp()
	if c.renewing {
		c.renewing = false
		c.attempt.Stop()
	}
	return unwritten
}

// broken handles a breach of the protocol by the server.
func (c *Conn) broken(err error) {
	c.lost(fmt.Errorf("%w: %w", ErrProtocol, err))
}

// splitSent removes the requests of which a byte was written from the queue and returns them. The
// others stay, with their bytes buffered for the next connection. Of these, requests that have
// timed out are dropped, since their Receivers were told. It takes over unwritten, the bytes that
// the last connection did not write.
func (c *Conn) splitSent(unwritten []byte) (sent []entry) {
	first, size := c.firstUnsent(len(unwritten))
	c.sent = sentLog{} // its last owner releases it
	for c.queue.head != first {
		sent = append(sent, c.queue.pop())
		if c.stats != nil && !isMarker(sent[len(sent)-1].receiver) {
			c.stats.Lost++
		}
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
			e.receiver.Fail(e.tag, nil, nil) // its request was sent over the connection that is lost
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

// firstUnsent returns the position of the first request of which nothing was written, if so many
// bytes at the end of the output were not, and the size of the bytes from there.
func (c *Conn) firstUnsent(unwritten int) (first uint32, size int) {
	first = c.queue.tail
	for first != c.queue.head && size+int(c.queue.at(first-1).size) <= unwritten {
		first--
		size += int(c.queue.at(first).size)
	}
	return first, size
}

// failEntries tells the Receivers of requests that were sent.
func failEntries(sent []entry, f *Failure) {
	done := 0
	defer func() {
		if done < len(sent) { // this one panicked; the others must be told all the same
			failEntries(sent[done+1:], f)
			abandon(sent[done].receiver)
		}
	}()
	for ; done < len(sent); done++ {
		if e := &sent[done]; e.receiver != nil {
			e.receiver.Fail(e.tag, f, nil)
		}
	}
}

// failUnsent tells the Receivers of requests that were not sent and whose bytes are at the start of
// requests.
func failUnsent(unsent []entry, f *Failure, requests []byte) {
	done := 0
	defer func() {
		if done < len(unsent) {
			failUnsent(unsent[done+1:], f, requests[unsent[done].size:])
			abandon(unsent[done].receiver)
		}
	}()
	for ; done < len(unsent); done++ {
		e := &unsent[done]
		e.receiver.Fail(e.tag, f, requests[:e.size])
		requests = requests[e.size:]
	}
}

// abandon ends a Receiver that has panicked, or that waits for one that has.
func abandon(r Receiver) {
	if a, ok := r.(eventloop.Abandoner); ok {
		a.Abandon()
	}
}

// Abandon is eventloop.Abandoner's. The Receiver of a reply may have panicked.
func (c *Conn) Abandon() {
	r := c.answering
	c.answering = nil
	if c.state == ready || c.state == handshaking {
		c.lost(eventloop.ErrPanicked) // else it was lost when its timer's function panicked
	}
	abandon(r)
}

// failBuffered fails all requests in the queue, none of which was sent.
func (c *Conn) failBuffered(err error) {
	var unsent []entry
	for c.queue.len() > 0 {
		unsent = append(unsent, c.queue.pop())
	}
	c.expected.passed(c.queue.head)
	c.fullUntilRenewed = false
	buffered := c.buffered
	c.buffered = nil
	defer func() {
		c.loop.Release(buffered)
		c.wake()
	}()
	c.giveBack(unsent, err, buffered)
}
