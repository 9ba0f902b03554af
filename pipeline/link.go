package pipeline

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"

	"ringway/eventloop"
	"ringway/resp"
)

// link is what Conn and Link have in common: the attempts to connect to one server, and the socket.
type link struct {
	// Static after construction.
	loop *eventloop.Loop
	obs  Observer

	cfg *Config // replaced by SetConfig

	conn     *eventloop.Conn // nil while there is none
	state    state
	dials    uint32           // number of the last attempt, to know a late one's result
	attempt  *eventloop.Timer // until the next attempt, or until one has taken too long
	scan     resp.ReplyState
	answered bool  // the server has answered something on this connection
	lastData int64 // when anything was last read
}

// dial starts an attempt. connected is called when h is attached to the connection or the attempt
// has failed, unless hangUp comes first.
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

// SetConfig replaces the configuration, which must be of the same server, use and kind. Timeouts and
// bounds count from now on; the rest, such as TLS and credentials, from the next connection on.
func (l *link) SetConfig(cfg *Config) { l.cfg = cfg }

// failure returns the failure of a request that was not sent.
func (l *link) failure(err error) *Failure { return &Failure{Cause: err, Server: l.cfg.Name} }

// Addr returns the server's address as it was configured.
func (l *link) Addr() string { return l.cfg.Addr }

// Peer returns the IP address of the server's end of the connection, the zero Addr while there is
// none, or none of IP.
func (l *link) Peer() netip.Addr {
	if l.conn == nil {
		return netip.Addr{}
	}
	return l.conn.Peer()
}

// Link is a connection to one server whose replies are not matched with requests by position alone:
// the handler gets every frame. It connects when Connect is called, and reconnects as long as its
// handler wants. It belongs to its loop. Of the states of a Conn it has four:
//
//	state    Connect        left by
//	idle     dials          Connect
//	dialing  -              connected: ready; failed: down
//	ready    -              lost: dialing, or down if the server had answered nothing,
//	                        or idle if the handler does not want it again
//	down     dials at once  the timer: dialing
//
// Close leads to idle from each of them.
type Link struct {
	link
	h           LinkHandler
	authPending bool     // AUTH is not yet answered
	naming      bool     // CLIENT SETNAME, which follows AUTH, is not yet answered
	cause       error    // down: of the last attempt
	attempts    Attempts // those of this link alone
}

// LinkHandler speaks over a Link. Its methods are called on the loop, and never from within Connect
// and Send.
type LinkHandler interface {
	// Connected is called when there is a connection. AUTH and CLIENT SETNAME have been sent if they
	// are configured, and their replies are not waited for.
	Connected()

	// Frame is given each reply or push as the server framed it, except the replies to these. frame is
	// valid only during the call. An error ends the connection.
	Frame(frame []byte) error

	// Lost is called when the connection is gone, with the cause. It returns whether to connect
	// again.
	Lost(err error) (again bool)

	// Unreachable is called when an attempt to connect has failed. Others follow.
	Unreachable(f *Failure)
}

// NewLink returns a link that is not connected. It reads cfg as long as it lives, and of it the
// address, ClientName, TLS, Auth, ConnectTimeout, KeepAlive, MarkerSupport and Replies.
func NewLink(loop *eventloop.Loop, cfg *Config, obs Observer, h LinkHandler) *Link {
	l := &Link{link: link{loop: loop, cfg: cfg, obs: obs}, h: h}
	l.attempt = loop.NewTimer(l.Connect).OwnedBy(l)
	return l
}

// Connect connects, unless there is a connection or an attempt is under way.
func (l *Link) Connect() {
	if l.state == idle || l.state == down {
		l.dial(l, l.connected)
	}
}

// Up reports whether there is a connection.
func (l *Link) Up() bool { return l.state == ready }

// Down returns the failure of the last attempt while there is no connection because of it, else
// nil.
func (l *Link) Down() *Failure {
	if l.state != down {
		return nil
	}
	return l.failure(l.cause)
}

// Send sends a request over the connection, which must be Up.
func (l *Link) Send(args ...[]byte) { l.conn.Append(resp.AppendRequest(nil, args)) }

// SendEncoded is Send for a request that is encoded already. The bytes are copied.
func (l *Link) SendEncoded(request []byte) { l.conn.Append(request) }

// LastRead returns when anything was last read, or the connection was made, as eventloop.Loop.Now.
func (l *Link) LastRead() int64 { return l.lastData }

// SetAnswered records that the server works, as the handler sees from its replies: if the
// connection is lost, the next attempt is made at once.
func (l *Link) SetAnswered() {
	if !l.answered {
		l.answered = true
		l.attempts.Reset()
		l.obs.Succeeded()
	}
}

// Close closes the connection, or ends the attempt to make one. The handler is not called.
func (l *Link) Close() {
	l.hangUp()
	l.attempt.Stop()
	l.attempts.Reset()
	l.state = idle
}

// Renew replaces the connection, for a server whose name now resolves to another address. What the
// server sends until the new one is made is lost.
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
	l.conn.Urgent() // a server closes a connection whose output it can't get rid of
	l.state = ready
	if l.authPending = l.cfg.Auth != nil; l.authPending {
		l.Send(l.cfg.auth()...)
	}
	if l.naming = l.cfg.ClientName != "" && (l.cfg.MarkerSupport == nil || l.cfg.MarkerSupport.mayName()); l.naming {
		l.SendEncoded(nameRequest(l.cfg.ClientName))
	}
	l.h.Connected()
}

// attemptFailed schedules the next attempt.
func (l *Link) attemptFailed(err error) {
	l.state, l.cause = down, err
	l.attempt.After(l.attempts.fail(l.loop.Now(), err))
	if !isLocal(err) {
		l.obs.Failed(err)
	}
	l.h.Unreachable(l.failure(err))
}

// Lose ends the connection as if it had been lost because of err. The next attempt follows at once,
// or after a wait if the server has answered nothing on this one.
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
		if l.naming {
			l.naming = false
			if l.cfg.MarkerSupport != nil {
				l.cfg.MarkerSupport.named(b)
			}
			return nil
		}
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
