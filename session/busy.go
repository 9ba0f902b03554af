package session

import (
	"bytes"
	"time"

	"ringway/command"
	"ringway/pipeline"
	"ringway/resp"
)

// A server that runs a script for longer than its busy-reply-threshold answers
// everybody else with -BUSY. But what the proxy answers in its place, such as
// +QUEUED, would not tell; and what was sent behind the script, on a connection
// that clients share, is not even read before its end. So when a server lets a
// loop wait, the loop asks it over another connection; and while the answer is
// -BUSY, new requests get that answer at once instead of joining the queue. They
// were not executed, as Redis's own error says.

// stallAfter is how long a request must have been without a reply for its server
// to be asked whether it is busy.
const stallAfter = 50 * time.Millisecond

var requestPing = resp.AppendRequest(nil, [][]byte{[]byte("PING")})

// busyProbe is a PING to a server that may be busy, over a connection of its own.
type busyProbe struct {
	*shared
	server int
	conn   *pipeline.Conn
}

// askStalled asks the servers that let this loop wait, and those that are known
// to be busy.
func (sh *shared) askStalled() {
	u, w := sh.conditions, sh.w
	if !u.scripted {
		return
	}
	w.stalled = sh.local.StalledShards(w.loop.Now()-int64(stallAfter), w.stalled[:0])
	for server := range u.busy {
		w.stalled = append(w.stalled, server)
	}
	for r := range u.runs {
		if w.loop.Now()-r.since > int64(stallAfter) {
			w.stalled = append(w.stalled, r.server)
		}
	}
	for _, server := range w.stalled {
		if u.asking[server] {
			continue
		}
		conn, err := sh.local.ConnSet(resp.RESP2, 0).Acquire(server)
		if err != nil {
			continue
		}
		u.asking[server] = true
		p := &busyProbe{shared: sh, server: server, conn: conn}
		if f := conn.Send(requestPing, p, 0); f != nil {
			p.answered(nil, false)
		}
	}
}

// Reply is pipeline.Receiver's.
func (p *busyProbe) Reply(_ uint32, b []byte, last bool) {
	switch {
	case !last:
	case bytes.HasPrefix(b, []byte("-BUSY ")):
		p.answered(bytes.Clone(b), true)
	default:
		p.answered(nil, true)
	}
}

// Fail is pipeline.Receiver's.
func (p *busyProbe) Fail(uint32, *pipeline.Failure, []byte) { p.answered(nil, false) }

// answered tells all loops what became of the server, if that is news.
func (p *busyProbe) answered(busy []byte, clean bool) {
	u := p.conditions
	delete(u.asking, p.server)
	p.local.ReleaseDedicated(p.conn, clean)
	if (busy != nil) == (u.busy[p.server] != nil) {
		return
	}
	p.change(func(peer *shared) {
		if busy != nil {
			peer.conditions.busy[p.server] = busy
		} else {
			delete(peer.conditions.busy, p.server)
		}
	})
}

// refuseBusy answers a request that a busy server would refuse. A session with
// requests under way goes on as usual: what comes behind them can't overtake them.
func (s *session) refuseBusy(u *conditions, cmd *command.Command, args [][]byte) bool {
	if len(u.busy) == 0 || !s.replies.idle() || cmd.Flags&command.FlagAllowBusy != 0 {
		return false
	}
	if cmd.Name == "exec" {
		return s.abortBusy(u)
	}
	reply := s.busyReply(u, cmd, args)
	if reply == nil {
		return false
	}
	if s.tx != nil {
		s.tx.failed = true
	}
	s.reply(reply)
	return true
}

// abortBusy is refuseBusy for EXEC.
func (s *session) abortBusy(u *conditions) bool {
	if s.tx == nil {
		return false
	}
	server := s.tx.server
	if server < 0 && s.local.Shards() == 1 {
		server = 0
	}
	reason := u.busy[server]
	if reason == nil {
		return false
	}
	s.tx = nil
	s.unwatch()
	s.reply(append([]byte("-EXECABORT Transaction discarded because of: "), reason[1:]...))
	return true
}

// busyReply returns the error of a busy server that a request concerns, or nil.
func (s *session) busyReply(u *conditions, cmd *command.Command, args [][]byte) []byte {
	switch {
	case cmd.Route == command.Local && !aboutServer(cmd), cmd.Route == command.Transaction, cmd.Route == command.PubSub:
		return nil
	case s.local.Shards() == 1:
		return u.busy[0]
	case cmd.Route == command.Local:
		return nil // some of the pool's servers answer
	case cmd.Route == command.AllShards, cmd.Route == command.ScanShards:
		for _, reply := range u.busy {
			return reply
		}
	}
	keys, err := cmd.Keys(args, s.w.keys[:0])
	s.w.keys = keys[:0]
	if err != nil {
		return nil
	}
	if len(keys) == 0 {
		return u.busy[s.defaultServer()]
	}
	ring := s.local.Map()
	for _, k := range keys {
		if reply := u.busy[ring.Index(args[k])]; reply != nil {
			return reply
		}
	}
	return nil
}

// aboutServer tells whether a command is there to find out whether a server
// answers, and how. If the pool has only one, that is asked.
func aboutServer(cmd *command.Command) bool {
	return cmd.Name == "ping" || cmd.Name == "echo" || cmd.Name == "time"
}
