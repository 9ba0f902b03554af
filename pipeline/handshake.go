package pipeline

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"ringway/resp"
)

// greetings are the requests that go first on a new connection; none if nothing has
// to.
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

// greet sends AUTH, HELLO and SELECT. Requests are held until all are answered: one
// that overtook a refused SELECT would go to the wrong database.
func (c *Conn) startHandshake() {
	c.state = handshaking
	requests := c.cfg.handshakeRequests()
	if len(requests) == 0 {
		// A server may refuse our certificate after TLS's handshake is done, and in
		// front of one that is dead something may accept connections: no request is
		// written before something came back, whatever it is.
		requests = [][][]byte{{[]byte("PING")}}
	}
	var b []byte
	for _, request := range requests {
		b = resp.AppendRequest(b, request)
	}
	c.handshakeLeft = len(requests)
	c.conn.Append(b)
	c.attempt.After(c.cfg.ConnectTimeout)
}

// greeted handles the reply to AUTH, HELLO or SELECT.
func (c *Conn) handshakeReply(reply []byte) {
	if requests := c.cfg.handshakeRequests(); reply[0] == '-' && len(requests) > 0 {
		refused := requests[len(requests)-c.handshakeLeft]
		c.disconnect()
		c.attemptFailed(&HandshakeError{Command: string(refused[0]), Reply: string(bytes.TrimRight(reply[1:], "\r\n"))})
		return
	}
	if c.handshakeLeft--; c.handshakeLeft == 0 {
		c.attempt.Stop()
		c.open()
	}
}

// HandshakeError tells that a server has refused the handshake of a connection. It is
// ErrHandshake to errors.Is.
type HandshakeError struct {
	Command string // that was refused: AUTH, HELLO, SELECT or READONLY
	Reply   string // the server's error, as it comes behind the "-"
}

func (e *HandshakeError) Error() string { return ErrHandshake.Error() + ": " + e.Reply }

// Is reports whether target is ErrHandshake.
func (e *HandshakeError) Is(target error) bool { return target == ErrHandshake }

// Lasting reports whether the server does not have the protocol or the database that
// the connection is for, or not for its user. Else it may take the same handshake in a
// moment, as when it is busy with a script, or says nothing of these.
func (e *HandshakeError) Lasting() bool {
	word, _, _ := strings.Cut(e.Reply, " ")
	return (e.Command == "HELLO" || e.Command == "SELECT") && (word == "ERR" || word == "NOPROTO" || word == "NOPERM")
}

// HandshakeRefusal returns the refused handshake that a failure comes from, nil if none
// was: its own, or the last one before, because of which no attempt is made for now.
func HandshakeRefusal(err error) *HandshakeError {
	if o := (*Outage)(nil); errors.As(err, &o) {
		err = o.Why
	}
	if e := (*HandshakeError)(nil); errors.As(err, &e) {
		return e
	}
	return nil
}

// Meet makes the connection if there is none, and has told called once with what came
// of that, on the loop: nil if the server has taken the handshake. It is called at once
// if that is known, or if no attempt may be made now.
func (c *Conn) AfterHandshake(told func(f *Failure)) {
	c.Connect()
	switch c.state {
	case ready:
		told(nil)
	case down, suspended:
		told(c.refuse())
	default:
		c.onHandshake = append(c.onHandshake, told)
	}
}

// tellMeets ends Meet. It is called last, since anything may be done then.
func (c *Conn) handshakeEnded(f *Failure) {
	meets := c.onHandshake
	c.onHandshake = nil
	for _, told := range meets {
		told(f)
	}
}
