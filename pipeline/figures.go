package pipeline

import "errors"

// Queued is the requests of a connection that have no reply yet, without markers.
type Queued struct {
	Unsent, UnsentBytes int // none of their bytes has left
	Sent, SentBytes     int // the others
}

// Queued returns what the connection's queue holds. It takes time in proportion.
func (c *Conn) Queued() (q Queued) {
	first := c.queue.head // the first of which nothing was written
	if c.state == ready {
		first, _ = c.firstUnsent(c.conn.Waiting())
	}
	for pos := c.queue.head; pos != c.queue.tail; pos++ {
		e := c.queue.at(pos)
		switch {
		case isMarker(e.receiver):
		case int32(pos-first) < 0:
			q.Sent++
			q.SentBytes += int(e.size)
		default:
			q.Unsent++
			q.UnsentBytes += int(e.size)
		}
	}
	return q
}

// isTimeout reports whether an attempt to connect has failed because it took too long.
func isTimeout(err error) bool {
	timeout := interface{ Timeout() bool }(nil)
	return errors.Is(err, ErrTimeout) || errors.As(err, &timeout) && timeout.Timeout()
}
