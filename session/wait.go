package session

import (
	"bytes"

	"ringway/command"
	"ringway/join"
	"ringway/pipeline"
)

// WAIT and WAITAOF ask whether replicas have what this client has written. To a
// server that is a matter of the connection: it waits for all that was written,
// by whomever, before the connection's last command. So when all of the client's
// requests are answered, a connection of its own to each shard does as well as
// the one that carried them, once a PING went over it.

// replicaWait is a WAIT or WAITAOF under way. The session is held, so there is
// one at a time.
type replicaWait struct {
	s      *session
	number uint32 // of the request in its session
	cmd    *command.Command
	conns  []*pipeline.Conn // for each shard; nil when it has answered
	left   int
	said   [][]byte // what the shards have answered
	failed []byte   // the first error
	since  int64    // when it began, as eventloop.Loop.Now
}

// The tags of the two requests on a connection are twice its index, and one more.
const waitsTag = 1

// waitReplicas runs WAIT and WAITAOF. Like handle, it reports false if the
// request must wait.
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
		rw.said = append(rw.said, bytes.Clone(b))
	}
	rw.answered(tag, true)
}

// Fail is pipeline.Receiver's. A PING that fails takes the rest with it.
func (rw *replicaWait) Fail(tag uint32, f *pipeline.Failure, _ []byte) {
	if rw.pending(tag) {
		rw.fail(f.AppendReply(nil))
		rw.answered(tag, false)
	}
}

func (rw *replicaWait) pending(tag uint32) bool { return rw.left > 0 && rw.conns[tag/2] != nil }

func (rw *replicaWait) fail(reply []byte) {
	if rw.failed == nil {
		rw.failed = bytes.Clone(reply)
	}
}

// answered takes a shard's connection back, and answers the request after the
// last one.
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

// reply is the answer: of each number the servers' least, or the first error.
func (rw *replicaWait) reply() []byte {
	if rw.failed != nil {
		return rw.failed
	}
	least := join.Least
	if rw.cmd.Join == command.JoinAnd {
		least = join.LeastOfEach
	}
	if reply, ok := least(nil, rw.said); ok {
		return reply
	}
	return replyUnexpected
}

// abandon closes what is waited for: the client is gone.
func (rw *replicaWait) abandon() {
	rw.left = 0
	for i, conn := range rw.conns {
		if conn != nil {
			rw.conns[i] = nil
			rw.s.local.ReleaseDedicated(conn, false)
		}
	}
}
