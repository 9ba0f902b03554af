package session

import (
	"bytes"

	"ringway/command"
	"ringway/join"
	"ringway/pipeline"
)

// WAIT and WAITAOF ask whether replicas have what this client has written. A server answers
// them for a connection: it waits for everything that anybody wrote before the connection's
// last command. So when all of the client's requests are answered, any connection will do on
// which a command comes after them. The proxy acquires a dedicated connection to each shard,
// and sends a PING and then the request.

// replicaWait is a WAIT or WAITAOF under way, and the Receiver of its replies. The session runs
// nothing else meanwhile, so there is one at a time.
type replicaWait struct {
	s       *session
	number  uint32 // of the request in its session
	cmd     *command.Command
	conns   []*pipeline.Conn // by shard; nil when it has answered
	left    int              // shards that have yet to answer
	replies [][]byte         // of the shards that have answered without an error, in no order
	failed  []byte           // the first error; nil for none
	since   int64            // when it began, as eventloop.Loop.Now
}

// waitsTag is what tells the two requests on a connection apart: the tag of the PING is twice
// the connection's index, and that of the request is one more.
const waitsTag = 1

// waitReplicas runs WAIT and WAITAOF. Like handle, it reports false if the request must wait,
// which it does for all earlier replies.
func (s *session) waitReplicas(cmd *command.Command, raw []byte) bool {
	if !s.replies.idle() {
		return false
	}
	rw := &replicaWait{s: s, cmd: cmd, since: s.w.loop.Now()}
	for _, shard := range s.servingShards() {
		conn, err := s.conns.Acquire(shard)
		if err != nil {
			rw.abandon()
			s.replyError(errNoDedicated)
			return true
		}
		rw.conns = append(rw.conns, conn)
	}
	rw.number, rw.left = s.push(), len(rw.conns)
	s.replicaWait = rw
	s.closeWindow()
	for i, conn := range rw.conns {
		tag := uint32(2 * i)
		f := conn.Send(requestPing, rw, tag)
		if f == nil {
			f = conn.SendUntimed(raw, rw, tag+waitsTag)
		}
		if f != nil {
			rw.Fail(tag+waitsTag, f, nil)
		}
	}
	return true
}

// Reply is pipeline.Receiver's.
func (rw *replicaWait) Reply(tag uint32, b []byte, last bool) {
	if tag&waitsTag == 0 || !last || !rw.pending(tag) {
		return
	}
	if b[0] == '-' {
		rw.fail(b)
	} else {
		rw.replies = append(rw.replies, bytes.Clone(b))
	}
	rw.answered(tag, true)
}

// Fail is pipeline.Receiver's. When a PING fails, so does the request behind it.
func (rw *replicaWait) Fail(tag uint32, f *pipeline.Failure, _ []byte) {
	if rw.pending(tag) {
		rw.fail(f.AppendReply(nil))
		rw.answered(tag, false)
	}
}

// pending reports whether the shard with a connection's tag has yet to answer.
func (rw *replicaWait) pending(tag uint32) bool { return rw.left > 0 && rw.conns[tag/2] != nil }

// fail keeps the first error.
func (rw *replicaWait) fail(reply []byte) {
	if rw.failed == nil {
		rw.failed = bytes.Clone(reply)
	}
}

// answered releases a shard's connection, which is clean if the server holds no state for
// it, and answers the client's request after the last shard.
func (rw *replicaWait) answered(tag uint32, clean bool) {
	s, conn := rw.s, rw.conns[tag/2]
	rw.conns[tag/2] = nil
	s.local.ReleaseDedicated(conn, clean)
	if rw.left--; rw.left > 0 {
		return
	}
	s.replicaWait = nil
	s.answerAndResume(rw.number, rw.reply())
}

// reply returns the answer: the least of the servers' numbers, or the first error. WAITAOF
// has two numbers, of which each is the least.
func (rw *replicaWait) reply() []byte {
	if rw.failed != nil {
		return rw.failed
	}
	least := join.Least
	if rw.cmd.Join == command.JoinAnd {
		least = join.LeastOfEach
	}
	if reply, ok := least(nil, rw.replies); ok {
		return reply
	}
	return replyUnexpected
}

// abandon closes the connections that have not answered: the client is gone.
func (rw *replicaWait) abandon() {
	rw.left = 0
	for i, conn := range rw.conns {
		if conn != nil {
			rw.conns[i] = nil
			rw.s.local.ReleaseDedicated(conn, false)
		}
	}
}
