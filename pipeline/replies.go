package pipeline

import (
	"errors"
	"fmt"
	"strconv"

	"ringway/resp"
	"ringway/stats"
)

// Data is eventloop.Handler's.
func (c *Conn) Data(b []byte) (n int) {
	if c.acks.acker != nil && c.state == ready {
		n = c.matchAcked(b)
	} else {
		n = c.match(b)
	}
	if c.stats != nil {
		c.stats.BytesIn += uint64(n)
	}
	return n
}

// match matches the replies in b with the requests in the queue. It returns how many bytes it has
// used.
func (c *Conn) match(b []byte) (n int) {
	pos := 0
	c.lastData = c.loop.Now()
	if !c.answered && !c.checkFirstReply(b) {
		return 0
	}
	c.answerable = c.queue.tail
	if c.conn.Waiting() > 0 && !c.conn.Stalled() {
		c.answerable = c.unsentFrom
	}
	for pos < len(b) {
		size, first, done := 0, !c.streaming, true
		if first {
			size = resp.ReplyLen(b[pos:])
		}
		if size == 0 {
			var err error
			size, done, err = c.scan.Scan(b[pos:], &c.cfg.Replies)
			if err == nil && done && c.scan.Push() {
				err = errors.New("an unexpected push message")
			}
			if err != nil {
				c.broken(err)
				return pos
			}
			if !done && !c.streaming && size < streamFrom {
				// It is short, so it is better read again when it is complete than passed on in
				// part: a part can't be taken back.
				c.scan.Restart()
				break
			}
			c.streaming = !done
			c.lastRead = c.loop.Now()
			if size == 0 {
				break // the beginning of a line: there is nothing to pass on yet
			}
		}
		if !c.deliver(b[pos:pos+size], first, done) {
			return pos
		}
		pos += size
		if !done {
			break
		}
	}
	if pos > 0 && c.state == ready {
		if c.inTime {
			// Late replies are no sign of health: a server that always answers
			// after the timeout is of no use.
			c.inTime = false
			c.obs.Succeeded()
		}
		c.expected.passed(c.queue.head)
		c.queue.shrink()
		if c.queue.len() == 0 {
			c.untimed = false
			if c.redirector != nil {
				c.sent.release(c.loop)
			}
		}
		c.wake()
		if len(c.barriers) > 0 {
			c.passBarriers()
		}
		if c.retired && c.queue.len() == 0 {
			c.Close()
		}
	}
	return pos
}

// deliver gives the oldest request its reply, or a part of it. It reports false if the connection
// ended meanwhile.
func (c *Conn) deliver(b []byte, first, last bool) bool {
	if c.handshakeLeft > 0 {
		if !last {
			c.broken(errors.New("a large reply to AUTH, SELECT or CLIENT SETNAME"))
			return false
		}
		c.handshakeReply(b)
		return c.conn != nil
	}
	// A reply can't belong to a request that the server has not been sent yet.
	if c.queue.head == c.answerable {
		c.broken(fmt.Errorf("a reply without a request: %s", strconv.QuoteToASCII(string(b[:min(len(b), 64)]))))
		return false
	}
	if c.markers.unanswered > 0 && c.answersLaterMarker(b) {
		c.broken(ErrMarker)
		return false
	}
	if first && kindOf[b[0]]&c.queue.at(c.queue.head).kinds() == 0 {
		c.broken(fmt.Errorf("%w: %s", ErrKind, strconv.QuoteToASCII(string(b[:min(len(b), 64)]))))
		return false
	}
	if !last {
		if e := c.queue.at(c.queue.head); e.receiver != nil {
			c.inTime = true
			c.answering = e.receiver
			e.receiver.Reply(e.tag, b, false)
			c.answering = nil
		}
		return c.conn != nil
	}
	e := c.queue.pop()
	if c.stats != nil {
		c.count(&e, first && b[0] == '-')
	}
	if first && b[0] == '-' && !c.answeredWasMarked() {
		c.obs.Complained(b)
	}
	c.answering = e.receiver
	if c.stats != nil {
		*c.stats.Answer = stats.Answer{Server: c.stats, Sent: e.at}
	}
	if (c.redirector == nil || !c.redirected(&e, b, first)) && e.receiver != nil {
		c.inTime = true
		e.receiver.Reply(e.tag, b, true)
	}
	c.answering = nil
	if c.stats != nil {
		c.stats.Answer.Server = nil
	}
	return c.conn != nil
}

// count counts the last part of a reply to e. Markers are not counted.
func (c *Conn) count(e *entry, isError bool) {
	if c.markers.unanswered > 0 && isMarker(e.receiver) {
		return
	}
	c.stats.Replied(stats.Time(e.at), stats.Time(c.loop.Now()))
	if isError {
		c.stats.Errors++
	}
}
