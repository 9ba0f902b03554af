package pipeline

// expected is what is known of the sizes of replies that are to come. Only replies that may be
// large are recorded, so that others cost nothing.
type expected struct {
	noted []expectation // oldest first
	bytes int           // of all of them
}

// expectation is the expected size of one reply.
type expectation struct {
	pos  uint32 // of the request in the queue
	size int
}

// Expect says how many bytes the reply to the request that was sent last is likely to have. They
// count for RepliesFull until the reply has come.
func (c *Conn) Expect(size int) {
	if c.queue.len() == 0 {
		return // it has failed
	}
	c.expected.noted = append(c.expected.noted, expectation{c.queue.tail - 1, size})
	c.expected.bytes += size
}

// RepliesFull reports whether so many bytes of replies are expected that no more requests with
// large replies should be sent. A server keeps unsent replies in memory and may close a connection
// with too many of them; and the replies of all other clients wait behind them. Wait tells when
// there is room.
func (c *Conn) RepliesFull() bool {
	return c.cfg.MaxReplies > 0 && c.expected.bytes >= c.cfg.MaxReplies
}

// passed removes the requests before head.
func (e *expected) passed(head uint32) {
	n := 0
	for n < len(e.noted) && int32(e.noted[n].pos-head) < 0 {
		e.bytes -= e.noted[n].size
		n++
	}
	switch {
	case n == 0:
	case n == len(e.noted):
		e.noted = e.noted[:0]
	default:
		e.noted = e.noted[:copy(e.noted, e.noted[n:])]
	}
}

// cut removes the requests from tail on.
func (e *expected) cut(tail uint32) {
	for n := len(e.noted); n > 0 && int32(e.noted[n-1].pos-tail) >= 0; n-- {
		e.bytes -= e.noted[n-1].size
		e.noted = e.noted[:n-1]
	}
}
