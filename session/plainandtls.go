package session

import "ringway/resp"

// A pool with plain_and_tls takes every client as one in clear. Whoever begins with TLS is found by the
// parser, which knows its first bytes from those of a request; the session then ends, and the client, with
// its bytes, goes to where hands are shaken. So clients in clear cost nothing more.

// beginsTLS reports whether the session's client, who has sent nothing yet but the beginning of TLS, may speak it. Then
// the session ends at the end of the turn.
func (s *session) beginsTLS() bool {
	if !s.local.Conf().PlainAndTLS || !s.conn.Direct() || s.lastCommand != 0 || s.conn.Output() > 0 || !s.replies.idle() {
		return false
	}
	s.blocked = true // the bytes stay unread
	s.w.loop.Defer(tlsBegun{s})
	return true
}

// tlsBegun ends a session whose client begins with TLS.
type tlsBegun struct{ s *session }

// RunDeferred implements eventloop.Deferred.
func (d tlsBegun) RunDeferred() {
	s := d.s
	w := s.w
	if !s.conn.Open() || s.closing {
		return
	}
	if s.tiedToLoop() || s.pendingWakeups > 0 { // other clients can do that, by its id
		s.refuse(resp.ErrTLS)
		return
	}
	input := s.conn.TakeUnread()
	socket := s.conn.Detach()
	socket.Input = input
	w.detach(s)
	s.setUser(s.proxyUser, nil)
	s.useConns(nil)
	c := Client{Socket: socket, Pool: s.poolIndex, ID: s.info.id, Addr: s.info.addr, Local: s.info.local, Network: s.network, Again: true}
	s.network = nil // where it stays counted
	s.leaveGroups()
	w.host.SpeakTLS(c)
	w.checkDrained()
}
