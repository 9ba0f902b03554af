package pipeline

// Gate limits which new requests a connection takes. Requests under way are not affected.
type Gate uint8

// The gates, from the widest to the narrowest.
const (
	Open      Gate = iota // all may be sent
	ReadsOnly             // Full reports true, FullForReads does not
	Shut                  // both do
)

// SetGate sets the gate. A wider one wakes the Waiters.
func (c *Conn) SetGate(g Gate) {
	opens := g < c.gate
	c.gate = g
	if opens {
		c.wake()
	}
}

// IsShut reports whether the gate is Shut.
func (c *Conn) IsShut() bool { return c.gate == Shut }

// FullForReads is Full for a request that only reads.
func (c *Conn) FullForReads() bool {
	return c.gate == Shut || c.renewing || c.fullUntilRenewed || c.overBound()
}

// Refuse makes the connection, which must not be connected, fail every request with cause.
func (c *Conn) Refuse(cause error) {
	c.refusal = cause
	c.Suspend()
}

// AfterReplies calls fn, on the loop, once every request that is in flight now was answered or has
// failed; at once if there is none.
func (c *Conn) AfterReplies(fn func()) {
	if c.queue.len() == 0 {
		fn()
		return
	}
	c.barriers = append(c.barriers, barrier{c.queue.tail, fn})
}

// barrier is a position in the queue, and what to call when every request before it is done.
type barrier struct {
	behind uint32 // position behind the last request that fn waits for
	fn     func()
}

// passBarriers calls the functions of the barriers before which nothing is left in the queue.
func (c *Conn) passBarriers() {
	for len(c.barriers) > 0 && int32(c.queue.head-c.barriers[0].behind) >= 0 {
		fn := c.barriers[0].fn
		c.barriers = c.barriers[1:]
		fn()
	}
}
