package pipeline

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"ringway/resp"
)

// handshakeRequests returns the requests that go first on a new connection, in order.
func (cfg *Config) handshakeRequests() (requests [][][]byte) {
	number := func(command string, n int) {
		requests = append(requests, [][]byte{[]byte(command), strconv.AppendInt(nil, int64(n), 10)})
	}
	if cfg.SelectAs != nil {
		requests = append(requests, authRequest(cfg.SelectAs))
		if cfg.DB != 0 {
			number("SELECT", cfg.DB)
		}
	}
	if cfg.Auth != nil {
		requests = append(requests, cfg.auth())
	}
	if cfg.Protocol != resp.RESP2 {
		number("HELLO", cfg.Protocol.Version())
	}
	if cfg.SelectAs == nil && cfg.DB != 0 {
		number("SELECT", cfg.DB)
	}
	if cfg.Replica {
		requests = append(requests, [][]byte{[]byte("READONLY")})
	}
	return requests
}

// startHandshake sends AUTH, HELLO, SELECT and READONLY as configured. Requests stay buffered until
// all are answered: one that overtook a refused SELECT would go to the wrong database. The name is not waited for.
func (c *Conn) startHandshake() {
	c.state = handshaking
	requests := c.cfg.handshakeRequests()
	if len(requests) == 0 {
		// PING stands in: a server may refuse our certificate after the TLS handshake is done, and
		// something may accept connections in front of a dead server. No request is written before
		// something came back, whatever it is.
		requests = [][][]byte{{[]byte("PING")}}
	}
	var b []byte
	for _, request := range requests {
		b = resp.AppendRequest(b, request)
	}
	c.handshakeLeft = len(requests)
	c.conn.Append(b)
	c.appendName()
	c.attempt.After(c.cfg.ConnectTimeout)
}

// handshakeReply handles the reply to one request of the handshake.
func (c *Conn) handshakeReply(reply []byte) {
	if c.state == ready {
		c.handshakeLeft, c.naming = 0, false
		c.support.named(reply)
		if c.stats != nil {
			c.stats.BytesIn -= uint64(len(reply)) // Data is about to add them
		}
		return
	}
	left := c.handshakeLeft
	if c.naming {
		left--
	}
	if requests := c.cfg.handshakeRequests(); reply[0] == '-' && len(requests) > 0 {
		refused := requests[len(requests)-left]
		c.disconnect()
		c.attemptFailed(&HandshakeError{Command: string(refused[0]), Reply: string(bytes.TrimRight(reply[1:], "\r\n"))})
		return
	}
	c.handshakeLeft--
	if left == 1 {
		c.attempt.Stop()
		c.open()
	}
}

// HandshakeError is the cause when a server has refused the handshake. errors.Is(e, ErrHandshake)
// holds.
type HandshakeError struct {
	Command string // that was refused: AUTH, HELLO, SELECT or READONLY
	Reply   string // the server's error, as it comes behind the "-"
}

// Error returns the text of ErrHandshake and the reply.
func (e *HandshakeError) Error() string { return ErrHandshake.Error() + ": " + e.Reply }

// Is reports whether target is ErrHandshake.
func (e *HandshakeError) Is(target error) bool { return target == ErrHandshake }

// Lasting reports whether another attempt would fail too: the server does not have the protocol or
// the database, or not for this user. Else it may accept the same handshake in a moment, for
// instance when it is busy with a script.
func (e *HandshakeError) Lasting() bool {
	word, _, _ := strings.Cut(e.Reply, " ")
	return (e.Command == "HELLO" || e.Command == "SELECT") && (word == "ERR" || word == "NOPROTO" || word == "NOPERM")
}

// HandshakeRefusal returns the refused handshake that a failure comes from, nil if there is none:
// the request's own, or that of the last attempt, because of which none is made for now.
func HandshakeRefusal(err error) *HandshakeError {
	if o := (*Outage)(nil); errors.As(err, &o) {
		err = o.Why
	}
	if e := (*HandshakeError)(nil); errors.As(err, &e) {
		return e
	}
	return nil
}

// AfterHandshake connects if there is no connection, and calls done once with the result, on the
// loop: nil if the server has accepted the handshake. It calls done at once if the result is known,
// or if no attempt may be made now.
func (c *Conn) AfterHandshake(done func(f *Failure)) {
	c.Connect()
	switch c.state {
	case ready:
		done(nil)
	case down, suspended:
		done(c.refuse())
	default:
		c.onHandshake = append(c.onHandshake, done)
	}
}

// handshakeEnded calls the functions of AfterHandshake. Callers do it last, since the functions may
// do anything.
func (c *Conn) handshakeEnded(f *Failure) {
	waiting := c.onHandshake
	c.onHandshake = nil
	for _, done := range waiting {
		done(f)
	}
}
