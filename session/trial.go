package session

import (
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// A client that asks for another protocol or database is told what the servers say of
// that: not all of them have HELLO or so many databases. They are asked once on a loop
// (pool/handshakecheck.go), and the client is held until they have answered.

// deferredAnswer is a request for which the session is held if it can't be answered at once.
type deferredAnswer struct {
	exclusive
	reply []byte // that came at once
	later bool
}

// answer answers the request.
func (a *deferredAnswer) answer(reply []byte) {
	if !a.later {
		a.reply = reply
		return
	}
	a.exclusive.Reply(a.number, reply, true)
}

// hear returns the reply, or nil after it has held the session until it comes.
func (a *deferredAnswer) hear() (reply []byte) {
	if a.reply == nil {
		a.later = true
		a.start()
	}
	return a.reply
}

// trialAnswer is a request that the servers may not let a client do.
type trialAnswer struct {
	*deferredAnswer
	then  func(t pool.HandshakeResult) (reply []byte)
	admit *pool.User // to be dismissed if the client is gone
}

// HandshakeChecked is pool.HandshakeReceiver's.
func (t trialAnswer) HandshakeChecked(result pool.HandshakeResult) {
	if t.later && !t.s.conn.Open() {
		t.s.local.ReleaseUser(t.admit)
		return
	}
	t.answer(t.then(result))
}

// try answers a request for a protocol or database with what then returns, which is given
// what the servers say of it.
func (s *session) try(user *pool.User, protocol resp.Protocol, db int, then func(t pool.HandshakeResult) (reply []byte)) (reply []byte) {
	a := &deferredAnswer{exclusive: exclusive{s: s}}
	s.local.CheckHandshake(user, protocol, db, trialAnswer{deferredAnswer: a, then: then})
	return a.hear()
}

// isRefused reports whether a client can't go on in a protocol after a trial. Where no
// server has answered it may keep what it has.
func (s *session) isRefused(protocol resp.Protocol, t pool.HandshakeResult) bool {
	return t.Refusal != "" || t.Failure != nil && protocol != s.protocol
}

// appendTrial appends the error that a client gets of servers that refuse it something,
// or that could not be asked; nothing if they let it.
func appendTrial(dst []byte, t pool.HandshakeResult) []byte {
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
