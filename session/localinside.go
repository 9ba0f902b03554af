package session

import (
	"bytes"
	"strings"

	"ringway/command"
	"ringway/resp"
)

// run runs a request of a transaction that the proxy answers. It reports false if the request
// must wait; then RunDeferred tries again.
func (e *execution) run(r *ownRequest) bool {
	s := e.s
	muting, next := s.muting, s.replies.tail
	s.muting, s.unsized = true, false // what enters the line is taken from there
	e.capturing, e.running = true, true
	done := e.handle(r)
	e.running = false
	if s.muting = muting; r.cmd.Name == "client|reply" {
		s.muting = s.replyOff
	}
	if !done {
		e.capturing = false
		return false
	}
	if e.capturing && s.replies.tail == next {
		e.take(replyUnexpected, true) // there will be no reply
	}
	return true
}

// handle runs a request as outside of a transaction. What Redis refuses inside one gets its
// error.
func (e *execution) handle(r *ownRequest) bool {
	s := e.s
	switch name := r.cmd.Name; {
	case name == "watch":
		return s.watchInside(r)
	case name == "monitor":
		s.reply([]byte("-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n"))
	case name == "ssubscribe":
		s.reply([]byte("-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client\r\n"))
	case name == "client|reply" && !strings.EqualFold(string(r.args[2]), "on"):
		s.reply([]byte("-ERR CLIENT REPLY OFF and SKIP are not supported inside MULTI: EXEC would lack replies\r\n"))
	case r.cmd.Route == command.Local:
		return s.answer(r.cmd, r.args)
	case r.cmd.Route == command.PubSub:
		return s.pubsub(r.cmd, r.args)
	default:
		return s.route(r.cmd, r.args, resp.AppendRequest(nil, r.args))
	}
	return true
}

// take takes the reply to the request that is being run, or a part of it.
func (e *execution) take(b []byte, last bool) {
	s := e.s
	switch {
	case !e.watching:
		e.append(b)
		e.charged += len(b)
		s.replies.charge(len(b))
		if s.checkOutputLimit(); e.ended {
			return
		}
	case b[0] == '-' && e.refused == nil:
		e.refused = bytes.Clone(b)
	}
	if !last {
		return
	}
	e.capturing = false
	if e.at++; !e.running {
		s.deferRun()
	}
}
