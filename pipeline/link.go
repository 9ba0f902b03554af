package pipeline

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"

	"ringway/eventloop"
	"ringway/resp"
)

// link is what a Conn and a Link have in common: the attempts to connect to one server,
// and the socket.
type link struct {
	// Static after construction.
	loop *eventloop.Loop
	cfg  *Config
	obs  Observer

	conn     *eventloop.Conn // nil while there is none
	state    state
	dials    uint32           // number of the last attempt, to know a late one's result
	attempt  *eventloop.Timer // until the next attempt, or until one has taken too long
	scan     resp.ReplyState
	answered bool  // the server has answered something on this connection
	lastData int64 // when anything was last read
}

// dial makes an attempt, of which connected is told when h is attached or it has failed,
// unless hangUp comes first.
func (l *link) dial(h eventloop.Handler, connected func(err error)) {
	l.state = dialing
	l.attempt.Stop()
	l.dials++
	number := l.dials
	l.loop.Dial(l.cfg.target(), func(s eventloop.Socket, err error) {
		switch {
		case number == l.dials && l.state == dialing:
			if err == nil {
				err = l.attach(s, h)
			}
			connected(err)
		case err == nil:
			s.Close()
		}
	})
}

func (l *link) attach(s eventloop.Socket, h eventloop.Handler) (err error) {
	if l.conn, err = l.loop.AttachSocket(s, h); err != nil {
		s.Close()
		return err
	}
	l.scan, l.answered, l.lastData = resp.ReplyState{}, false, l.loop.Now()
	return nil
}

// hangUp closes the socket, if there is one.
func (l *link) hangUp() {
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}

// failure returns the failure of a request that was not sent.
func (l *link) failure(err error) *Failure { return &Failure{Cause: err, Server: l.cfg.Name} }

// Addr is the server's address as it was configured.
func (l *link) Addr() string { return l.cfg.Addr }

// Peer is the IP address that the server is connected to at, the zero Addr while
// it is not, or not by IP.
func (l *link) Peer() netip.Addr {
	if l.conn == nil {
		return netip.Addr{}
	}
	return l.conn.Peer()
}

// Link is a connection to one server for who does not match replies with requests by
// their position alone, as Conn does. It is made when Connect is called, and while its
// handler wants it, it comes back by itself. It belongs to its loop.
type Link struct {
	link
	h           LinkHandler
	authPending bool     // AUTH is not yet answered
	cause       error    // down: why
	attempts    Attempts // those of this link alone
}

// LinkHandler is who speaks over a Link. It is called on the loop, and never from within
// Connect and Send.
type LinkHandler interface {
	// Connected says that there is a connection, over which AUTH was sent if the server
	// wants it, and nothing else. Its answer is not awaited.
	Connected()

	// Frame is given a reply or a push as the server framed it, but not the answer to
	// AUTH. The bytes are valid only during the call. An error ends the connection.
	Frame(frame []byte) error

	// Lost says that the connection is gone, and why. It reports whether it is to be made
	// anew.
	Lost(err error) (again bool)

	// Unreachable says that an attempt to connect has failed. Others follow.
	Unreachable(f *Failure)
}

// NewLink returns a link that is not connected. The caller keeps cfg as it is; of it
// count the address, TLS, Auth, ConnectTimeout, KeepAlive and the limits of replies.
func NewLink(loop *eventloop.Loop, cfg *Config, obs Observer, h LinkHandler) *Link {
	l := &Link{link: link{loop: loop, cfg: cfg, obs: obs}, h: h}
	l.attempt = loop.NewTimer(l.Connect).OwnedBy(l)
	return l
}

// Connect makes the connection, unless there is one or an attempt is under way.
func (l *Link) Connect() {
	if l.state == idle || l.state == down {
		l.dial(l, l.connected)
	}
}

// Up reports whether there is a connection.
func (l *Link) Up() bool { return l.state == ready }

// Down returns why there is no connection if the last attempt has failed, else nil.
func (l *Link) Down() *Failure {
	if l.state != down {
		return nil
	}
	return l.failure(l.cause)
}

// Send sends a request over the connection, which must be Up.
func (l *Link) Send(args ...[]byte) { l.conn.Append(resp.AppendRequest(nil, args)) }

// LastRead is when anything was last read, or the connection made, as eventloop.Loop.Now.
func (l *Link) LastRead() int64 { return l.lastData }

// Proven says that the server has answered: should the connection be lost, the next
// attempt is made at once.
func (l *Link) SetAnswered() {
	if !l.answered {
		l.answered = true
		l.attempts.Reset()
		l.obs.Succeeded()
	}
}

// Close closes the connection, or ends the attempt to make one. The handler is not told.
func (l *Link) Close() {
	l.hangUp()
	l.attempt.Stop()
	l.attempts.Reset()
	l.state = idle
}

// Renew makes the connection anew, for a server whose name has come to mean
// another address. What the server says meanwhile is not heard.
func (l *Link) Renew() {
	if l.answered {
		l.Lose(io.EOF)
	}
}

func (l *Link) connected(err error) {
	if err != nil {
		l.attemptFailed(err)
		return
	}
	l.conn.Urgent() // what the server can't get rid of in time it drops, with the connection
	l.state = ready
	if l.authPending = l.cfg.Auth != nil; l.authPending {
		l.Send(l.cfg.auth()...)
	}
	l.h.Connected()
}

// attemptFailed tries again after a while.
func (l *Link) attemptFailed(err error) {
	l.state, l.cause = down, err
	l.attempt.After(l.attempts.fail(l.loop.Now(), err))
	if !isLocal(err) {
		l.obs.Failed(err)
	}
	l.h.Unreachable(l.failure(err))
}

// Lose ends the connection as if it had been lost because of err: at once the next
// attempt, unless the server has not answered anything on this one.
func (l *Link) Lose(err error) {
	if l.state != ready {
		return
	}
	l.hangUp()
	l.state = idle
	again := l.h.Lost(err)
	switch {
	case !again || l.state != idle:
	case l.answered:
		l.Connect()
	default:
		l.attemptFailed(err)
	}
}

// Data is eventloop.Handler's. A frame is handled when it is complete.
func (l *Link) Data(b []byte) (n int) {
	l.lastData = l.loop.Now()
	for n < len(b) && l.conn != nil {
		size, done, err := l.scan.Scan(b[n:], &l.cfg.Replies)
		switch {
		case err != nil:
			l.Lose(fmt.Errorf("%w: %w", ErrProtocol, err))
			return n
		case !done:
			l.scan.Restart()
			return n
		}
		if err := l.frame(b[n : n+size]); err != nil {
			l.Lose(err)
			return n
		}
		n += size
	}
	return n
}

func (l *Link) frame(b []byte) error {
	if !l.answered {
		if err := turnsAway(b); err != nil {
			return err
		}
	}
	if !l.authPending {
		return l.h.Frame(b)
	}
	l.authPending = false
	switch b[0] {
	case '+':
		return nil
	case '-':
		return fmt.Errorf("%w: %s", ErrHandshake, bytes.TrimSpace(b[1:]))
	}
	return fmt.Errorf("%w: no answer to AUTH", ErrProtocol)
}

// EOF is eventloop.Handler's.
func (l *Link) EOF() { l.Lose(io.EOF) }

// Closed is eventloop.Handler's.
func (l *Link) Closed(err error) { l.Lose(err) }

// Drained is eventloop.Handler's.
func (l *Link) Drained() {}

// Abandon is eventloop.Abandoner's.
func (l *Link) Abandon() { l.Lose(eventloop.ErrPanicked) }
