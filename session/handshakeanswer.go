package session

import (
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// A client that asks for another protocol or database gets the servers' answer: not all of
// them have HELLO, or so many databases. Each loop asks them once (pool/handshakecheck.go). Meanwhile
// the client's requests wait.

// deferredAnswer is a request that may not be answered at once. Then the session runs nothing
// else until it is answered.
type deferredAnswer struct {
	exclusive
	reply   []byte // the answer, if it came at once
	holding bool   // it did not, and the session waits
}

// answer answers the request. It must be called once, before replyOrHold or after it.
func (a *deferredAnswer) answer(reply []byte) {
	if !a.holding {
		a.reply = reply
		return
	}
	a.exclusive.Reply(a.number, reply, true)
}

// replyOrHold returns the reply if there is one. Else it returns nil, and the session runs no
// requests until the reply comes.
func (a *deferredAnswer) replyOrHold() (reply []byte) {
	if a.reply == nil {
		a.holding = true
		a.start()
	}
	return a.reply
}

// handshakeAnswer is a request whose answer depends on a handshake with the servers.
type handshakeAnswer struct {
	*deferredAnswer
	then  func(t pool.HandshakeResult) (reply []byte) // has the request's effect, and returns the reply
	admit *pool.User                                  // the user to release if the client is gone; nil for none
}

// HandshakeChecked is pool.HandshakeReceiver's: the servers have answered, or could not be
// asked.
func (t handshakeAnswer) HandshakeChecked(result pool.HandshakeResult) {
	if t.holding && !t.s.conn.Open() {
		t.s.local.ReleaseUser(t.admit)
		return
	}
	t.answer(t.then(result))
}

// checkHandshake asks whether the servers accept a user, a protocol and a database, which a
// request of the client asks for. then gets the result and returns the reply. checkHandshake
// returns that reply if the result is known already; else it returns nil, and the session
// waits.
func (s *session) checkHandshake(user *pool.User, protocol resp.Protocol, db int, then func(t pool.HandshakeResult) (reply []byte)) (reply []byte) {
	a := &deferredAnswer{exclusive: exclusive{s: s}}
	s.local.CheckHandshake(user, protocol, db, handshakeAnswer{deferredAnswer: a, then: then})
	return a.replyOrHold()
}

// isRefused reports whether a client can't use a protocol, after a handshake with it. If no server
// has answered, it may keep the protocol that it has.
func (s *session) isRefused(protocol resp.Protocol, t pool.HandshakeResult) bool {
	return t.Refusal != "" || t.Failure != nil && protocol != s.protocol
}

// appendHandshakeError appends the error for a client after a handshake: what a server refuses
// with, or why no server could be asked. It appends nothing if the handshake succeeded.
func appendHandshakeError(dst []byte, t pool.HandshakeResult) []byte {
	switch {
	case t.Refusal != "":
		return resp.AppendError(dst, t.Refusal)
	case t.Failure == nil:
		return dst
	}
	if e := pipeline.HandshakeRefusal(t.Failure); e != nil && e.Command != "AUTH" {
		return resp.AppendError(dst, e.Reply)
	}
	return t.Failure.AppendReply(dst)
}
