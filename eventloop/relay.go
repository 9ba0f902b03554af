package eventloop

import "net"

// Socket is a connected socket that no loop owns yet. Whoever gets one hands it to a loop with
// AttachSocket or ends it with Close.
type Socket struct {
	FD int // non-blocking

	// Relay carries the bytes between FD and the peer; nil if FD is connected to the
	// peer itself.
	Relay Relay

	// Cipher, if not nil, encrypts what is written to FD and decrypts what is read from it.
	Cipher Cipher

	// Input was read from FD already. The handler is given it, decrypted, at the end of the turn.
	Input []byte
}

// Close closes a socket that no loop owns.
func (s Socket) Close() {
	closeFD(s.FD)
	if s.Relay != nil {
		s.Relay.Close()
	}
}

// Relay stands between a loop and a peer whose bytes the loop can't read or write itself, for
// instance because they are encrypted. The loop has one end of a pair of sockets, the relay the
// other. Package tlsrelay has one for TLS.
type Relay interface {
	// Run carries bytes both ways until either side has ended. It is called once, on
	// a goroutine of its own that Loop.Run waits for.
	Run()

	// LoopClosed is called when the loop has closed its end. What it wrote before may still be on
	// its way to the peer, but Run must return soon even if the peer reads nothing.
	LoopClosed()

	// Close ends a relay that Run was not called for.
	Close()

	// Err returns the error that ended the relay; nil if none has. Handler.Closed gets it instead
	// of what the pair of sockets says. Any goroutine may call it.
	Err() error

	// Conn returns the connection to the peer, for its address and socket options.
	Conn() net.Conn
}

// AttachSocket is Attach for the result of Dial or Detach. If it returns an error, the caller still owns the
// socket.
func (l *Loop) AttachSocket(s Socket, h Handler) (*Conn, error) {
	c, err := l.Attach(s.FD, h)
	if err != nil {
		return nil, err
	}
	if s.Relay != nil {
		c.relay = s.Relay
		l.dialing.Go(s.Relay.Run)
	}
	if s.Cipher != nil {
		c.secure(s.Cipher, s.Input)
	} else if len(s.Input) > 0 {
		c.in = append(l.bufs.get(len(s.Input)), s.Input...)
	}
	if len(s.Input) > 0 {
		l.Defer(leftInput{c})
	}
	return c, nil
}

// cause returns what has ended the connection: the relay's error, if there is one, else err.
func (c *Conn) cause(err error) error {
	if c.relay != nil {
		if why := c.relay.Err(); why != nil {
			return why
		}
	}
	return err
}
