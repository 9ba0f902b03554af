package eventloop

// A peer may end its side while the connection is paused. Nothing is read then, so
// the end, which lies behind bytes that are yet to be read, would not be seen; and
// a client that is gone would be waited for as long as it is not read. So while a
// connection is paused the poller reports the hang-up itself, once.
//
// What stays unseen is the end of a peer that has sent more than the kernel's
// buffers take: its end is on its way behind that. Keepalive finds it.

// HangUpHandler is a Handler that is told of an end that lies behind unread bytes.
type HangUpHandler interface {
	Handler

	// HungUp tells, at most once, that the peer will send no more than what the
	// paused connection has not read: Data and EOF follow after Resume. The peer
	// may still read.
	HungUp()
}

// hungUp handles the end of a peer whose connection is paused.
func (c *Conn) hungUp() {
	c.peerEnded = true
	c.arm() // the poller would go on reporting it
	if h, ok := c.h.(HangUpHandler); ok {
		h.HungUp()
	}
}

// CloseWritten gives the kernel what it takes of the output at once and closes
// the connection. What the peer has sent and nobody will read is read and dropped
// first, as far as it is there: else the kernel would reset the connection, and the
// peer might never see what was written last.
func (c *Conn) CloseWritten() {
	if c.fd < 0 {
		return
	}
	if c.Waiting() > 0 && !c.stalled {
		c.writeSome()
	}
	if !c.eof {
		c.discardInput()
	}
	c.Close()
}

func (c *Conn) discardInput() {
	var scrap [4 << 10]byte
	for range maxDiscards {
		if n, err := read(c.fd, scrap[:]); n <= 0 || err != nil {
			return
		}
	}
}

// maxScraps bounds how often dropInput reads: a peer may send without end.
const maxDiscards = 64
