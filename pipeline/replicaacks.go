package pipeline

// A reply that acknowledges a write is worth as much as the replicas that have the write. While an
// Acker is set, what a server answers is delivered only after the replicas have acknowledged all
// that the server had executed when it was read.

// Acker asks for the acknowledgement of what connections to one server have read. Its method is
// called on the loop.
type Acker interface {
	// AckWanted is called when the connection has read something, at most once until MarkForAck. It
	// must not call the connection's methods: it defers that (eventloop.Loop.Defer).
	AckWanted(c *Conn)
}

// maxUnacked is how much a connection reads without delivering it.
const maxUnacked = 1 << 20

// replicaAcks is what a Conn knows of acknowledgements. Positions count the bytes that were
// delivered while an Acker was set, and go on counting over connections.
type replicaAcks struct {
	acker  Acker
	wanted bool   // AckWanted was called, and MarkForAck was not
	at     uint64 // what was delivered
	marked uint64 // what was read when MarkForAck was last called
	acked  uint64 // what may be delivered
	full   bool   // not read: maxUnacked bytes wait
}

// SetAcker has a read the acknowledgements that replies wait for. With nil they wait no longer: what
// has been read is delivered.
func (c *Conn) SetAcker(a Acker) {
	if c.acks.acker == a {
		return
	}
	c.acks = replicaAcks{acker: a, at: c.acks.at, full: c.acks.full}
	c.acks.marked, c.acks.acked = c.acks.at, c.acks.at
	c.deliverAcked()
}

// MarkForAck remembers what was read so far as that which the next Acked is about.
func (c *Conn) MarkForAck() {
	c.acks.wanted = false
	if c.conn != nil {
		c.acks.marked = c.acks.at + uint64(c.conn.Unread())
	}
}

// Acked delivers what had been read at MarkForAck: the replicas have what the server had executed
// by then. It is not to be called from a Receiver of this connection.
func (c *Conn) Acked() {
	c.acks.acked = max(c.acks.acked, c.acks.marked)
	c.deliverAcked()
}

// deliverAcked delivers what was read and may be delivered now.
func (c *Conn) deliverAcked() {
	if c.state != ready || c.repliesHeld {
		return
	}
	if c.acks.full {
		c.acks.full = false
		c.conn.Resume()
	}
	c.conn.Redeliver()
}

// matchAcked is match for as much of b as was acknowledged.
func (c *Conn) matchAcked(b []byte) (n int) {
	a := &c.acks
	c.lastData = c.loop.Now()
	if k := min(uint64(len(b)), a.acked-a.at); k > 0 {
		n = c.match(b[:k])
		a.at += uint64(n)
	}
	if c.state != ready || a.acker == nil {
		return n
	}
	if left := len(b) - n; a.at+uint64(left) > max(a.acked, a.marked) && !a.wanted {
		a.wanted = true
		a.acker.AckWanted(c)
	} else if left >= maxUnacked && !a.full {
		a.full = true
		c.conn.Pause()
	}
	return n
}

// forget makes room for the replies of another connection: marks of the last one must not count.
func (a *replicaAcks) forget() {
	a.at = max(a.at, a.marked, a.acked)
	a.marked, a.acked, a.full = a.at, a.at, false
}
