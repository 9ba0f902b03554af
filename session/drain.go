package session

import (
	"strconv"
	"time"

	"ringway/pipeline"
	"ringway/resp"
	"ringway/stats"
)

// When the process stops, requests under way are still answered. A blocked request (BLPOP) could
// keep the process for ever, so its server is asked to unblock it, as by CLIENT UNBLOCK, and the
// server's reply is passed on: if it has popped an element meanwhile, that is not lost. The
// error -UNBLOCKED is the one that clients get in a failover; they connect again and retry.

// unblockTimeout is how long a server may take to unblock a client. After that the proxy answers.
const unblockTimeout = time.Second

// replyPausedAtStop answers a write that a server still holds back for CLIENT PAUSE: it may be
// executed after the pause.
var replyPausedAtStop = []byte("-ERR the proxy is being stopped: the request was sent and its outcome is unknown\r\n")

// Drain closes each session as soon as it has no request under way. The Worker reads no further
// requests and refuses new clients. It calls Host.Drained when the last session has gone.
func (w *Worker) Drain() {
	w.draining = true
	if w.unblocking == nil {
		w.unblocking = map[*session]int64{}
	}
	for i := len(w.sessions) - 1; i >= 0; i-- {
		s := w.sessions[i]
		s.closing, s.closeReason = true, stats.ClosedDrain
		s.deferRun()
	}
	w.endBlocked()
	w.checkDrained()
}

// checkDrained calls Host.Drained, once, when no session is left.
func (w *Worker) checkDrained() {
	if w.draining && !w.drained && len(w.sessions) == 0 {
		w.drained = true
		w.host.Drained()
	}
}

// endBlocked ends requests that may block for ever. It is called with each tick while the worker
// drains, since some have been sent only just now.
func (w *Worker) endBlocked() {
	for i := len(w.sessions) - 1; i >= 0; i-- {
		w.sessions[i].endBlocked()
	}
}

// endBlocked ends the session's request if that is blocked: it asks the server to unblock it, or
// answers in its place when that has taken unblockTimeout or is not possible.
func (s *session) endBlocked() {
	switch {
	case s.replicaWait != nil:
		s.closeWithReply(replyUnblocked)
		return
	case s.shardsWait != nil:
		if !s.shardsWait.isTaking() && !s.shardsWait.atOnce {
			s.closeWithReply(replyUnblocked)
		}
		return
	case s.blockedSince == 0 || s.window != 0:
		return
	case s.conditions.paused != 0:
		s.closeWithReply(replyPausedAtStop)
		return
	}
	now := s.w.loop.Now()
	since, asked := s.w.unblocking[s]
	if !asked {
		s.w.unblocking[s], since = now, now
	}
	if now-since > int64(unblockTimeout) {
		s.closeWithReply(replyUnblocked)
	} else if s.dedicated != nil && s.dedicated.conn.ServerID != 0 {
		s.unblockAtServer()
	}
}

// unblockAtServer has the server unblock the session's dedicated connection, and reports whether it
// was asked. CLIENT UNBLOCK goes over a shared connection, since the pool may have lent all its
// dedicated ones to blocked clients.
func (s *session) unblockAtServer() (asked bool) {
	conn := s.local.ConnSet(resp.RESP2, s.local.Conf().RedisDB).Conn(s.dedicated.shard, s.info.id)
	return !conn.Full() && conn.Send(resp.AppendRequest(nil, [][]byte{
		[]byte("CLIENT"), []byte("UNBLOCK"), strconv.AppendInt(nil, s.dedicated.conn.ServerID, 10), []byte("ERROR"),
	}), discardReplies{}, 0) == nil
}

// discardReplies is the Receiver of replies that are not needed.
type discardReplies struct{}

func (discardReplies) Reply(uint32, []byte, bool)             {}
func (discardReplies) Fail(uint32, *pipeline.Failure, []byte) {}
func (discardReplies) Abandon()                               {}

// closeWithReply answers the only request under way with reply, and closes the client.
func (s *session) closeWithReply(reply []byte) {
	if !s.replies.midReply() {
		s.conn.Append(reply)
	}
	s.closeWritten()
}
