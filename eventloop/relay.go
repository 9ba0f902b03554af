package eventloop

import "net"

// Socket is a connected socket that no loop owns yet. Whoever is given one hands it
// to a loop with AttachSocket or ends it with Close.
type Socket struct {
	FD int // non-blocking

	// Relay carries the bytes between FD and the peer; nil if FD is connected to the
	// peer itself.
	Relay Relay
}

// Close closes a socket that no loop owns.
func (s Socket) Close() {
	closeFD(s.FD)
	if s.Relay != nil {
		s.Relay.Close()
	}
}

// Relay is what stands between a loop and a peer whose bytes the loop can't read or
// write itself, since they are encrypted, say. The loop has one end of a pair of
// sockets, the relay the other. Package tlsrelay has one for TLS.
type Relay interface {
	// Run carries bytes both ways until either side has ended. It is called once, on
	// a goroutine of its own that Loop.Run waits for.
	Run()

	// LoopClosed says that the loop has closed its end. What it wrote before may still
	// be on its way to the peer, but Run must return soon though that reads nothing.
	LoopClosed()

	// Close ends a relay that Run was not called for.
	Close()

	// Err is the error that ended the relay; nil if none has. The connection is Closed
	// with it instead of what the pair of sockets says. Any goroutine may call it.
	Err() error

	// Conn is the connection to the peer, for its address and socket options.
	Conn() net.Conn
}

// AttachSocket is Attach for what Dial has brought. If it returns an error, the
// socket is still the caller's.
func (l *Loop) AttachSocket(s Socket, h Handler) (*Conn, error) {
	c, err := l.Attach(s.FD, h)
	if err == nil && s.Relay != nil {
		c.relay = s.Relay
		l.dialing.Go(s.Relay.Run)
	}
	return c, err
}

// cause returns what has ended the connection: what the relay says, if there is one
// and it knows, else err.
func (c *Conn) cause(err error) error {
	if c.relay != nil {
		if why := c.relay.Err(); why != nil {
			return why
		}
	}
	return err
}
