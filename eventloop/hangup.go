package eventloop

// A peer may end its side while the connection is paused. Nothing is read then, so the end, which
// lies behind unread bytes, would not be seen, and the loop would keep a client that is gone. So
// while a connection is paused the poller reports the hang-up by itself, once.
//
// What remains unseen is the end of a peer that has sent more than the kernel's buffers take: its
// end is still on its way. Keepalive finds that.

// HangUpHandler is a Handler that is told of an end that lies behind unread bytes.
type HangUpHandler interface {
	Handler

	// HungUp is called, at most once, when the peer will send no more than what the paused
	// connection has not read: Data and EOF follow after Resume. The peer may still read.
	HungUp()
}

// hungUp handles the end of a peer whose connection is paused.
func (c *Conn) hungUp() {
	c.peerEnded = true
	c.arm() // else the poller would go on reporting it
	if h, ok := c.h.(HangUpHandler); ok {
		h.HungUp()
	}
}

// CloseWritten gives the kernel as much of the output as it takes at once, and closes the
// connection. It first reads and drops what the peer has sent: with unread bytes the kernel would
// reset the connection, and the peer might never see what was written last.
func (c *Conn) CloseWritten() {
	if c.fd < 0 {
		return
	}
	switch {
	case c.secured != nil:
		c.endSealed()
	case c.Waiting() > 0 && !c.stalled:
		c.writeSome()
	}
	if !c.eof {
		c.discardInput()
	}
	c.Close()
}

func (c *Conn) discardInput() {
	var discarded [4 << 10]byte
	for range maxDiscards {
		if n, err := read(c.fd, discarded[:]); n <= 0 || err != nil {
			return
		}
	}
}

// maxDiscards bounds how often discardInput reads: a peer may send without end.
const maxDiscards = 64
