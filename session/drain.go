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

// replyUnsentAtStop answers a request that waits in the proxy for the end of a pause.
var replyUnsentAtStop = []byte("-ERR the proxy is being stopped: the request was not sent\r\n")

// replyLeaving answers the PING of a health check.
var replyLeaving = []byte("-ERR the proxy is being stopped: connect to another one\r\n")

// Leave says that Drain will be called after a delay, with over. Until then the Worker serves its clients, and new
// ones, as before. Only the PING of a health check gets an error (leavingPing), and clients that have asked for that are
// told to connect again (tellLeaving).
func (w *Worker) Leave(delay, over time.Duration) {
	w.leaving, w.leavingIn, w.leavingOver = time.Now(), delay, over
	w.tellLeaving()
}

// leavingPing reports whether a PING is to be answered with an error, since it comes from a health check
// and the proxy is about to stop. A health check makes a connection for its PING, which comes first,
// or behind AUTH. Whatever has been at work for longer is served.
func (s *session) leavingPing() bool {
	if s.w.leaving.IsZero() || !s.info.since.After(s.w.leaving) || !s.replies.idle() {
		return false
	}
	answered := s.conn.Output()
	return answered == 0 || answered == uint64(len(replyOK)) && s.local.Conf().RedisAuth != ""
}

// Drain closes each session as soon as it has no request under way, once its turn has come: the turns
// are spread evenly over a time, so that not all clients connect again at once. From its turn on no
// further request of a session is read. Clients that were told when to connect again keep their connections until
// then, for most at most. New clients are refused. Drain calls Host.Drained when the last session has gone.
func (w *Worker) Drain(over, most time.Duration) {
	w.draining = true
	if w.unblocking == nil {
		w.unblocking = map[*session]int64{}
	}
	for i, s := range w.sessions {
		s.leaveAt = w.loop.Now() + int64(over)/int64(len(w.sessions))*int64(i)
		if s.movingUntil != 0 {
			s.leaveAt = max(s.leaveAt, min(s.movingUntil, w.loop.Now()+int64(most)))
		}
	}
	w.closeDue()
	w.checkDrained()
}

// closeDue closes the sessions whose turn has come, and ends their requests that may block for ever.
// It is called with each tick while the worker drains: some have been sent only just now.
func (w *Worker) closeDue() {
	for i := len(w.sessions) - 1; i >= 0; i-- {
		s := w.sessions[i]
		if !s.closing && s.leaveAt <= w.loop.Now() {
			s.leave()
		}
		if s.closing && s.conn.Open() {
			s.endBlocked()
		}
	}
}

// leave closes the session when no request of it is under way.
func (s *session) leave() {
	if s.conditions.pauseWaiters[s] && s.blocked && s.replies.idle() {
		s.closeReason = stats.ClosedDrain
		s.closeWithReply(replyUnsentAtStop)
		return
	}
	s.closing, s.closeReason = true, stats.ClosedDrain
	s.deferRun()
}

// checkDrained calls Host.Drained, once, when no session is left.
func (w *Worker) checkDrained() {
	if w.draining && !w.drained && len(w.sessions) == 0 {
		w.drained = true
		w.host.Drained()
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
