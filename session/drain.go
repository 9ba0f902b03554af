package session

import (
	"strconv"
	"time"

	"ringway/pipeline"
	"ringway/resp"
)

// At the end of the process requests under way are answered. Those that wait for
// more than a server may wait for ever, so they are ended: the server is asked to
// unblock them, as CLIENT UNBLOCK does, and what it says is passed on. So an element
// that it has popped meanwhile is not lost. The error is the one that clients know from
// failovers: to try again, over a new connection.

// drainPatience is how long a server may take to unblock a client.
const drainPatience = time.Second

// replyHeld is the reply to a request that CLIENT PAUSE holds back.
var replyHeld = []byte("-ERR the proxy is being stopped: the request was sent and its outcome is unknown\r\n")

// Drain closes the sessions as soon as they have no request under way, and takes no
// further requests and clients.
func (w *Worker) Drain() {
	w.draining = true
	w.unblocked = map[*session]int64{}
	for i := len(w.sessions) - 1; i >= 0; i-- {
		s := w.sessions[i]
		s.closing = true
		s.settle()
	}
	w.endWaits()
	w.checkDrained()
}

// checkDrained tells the host, once, that no session is left.
func (w *Worker) checkDrained() {
	if w.draining && !w.drained && len(w.sessions) == 0 {
		w.drained = true
		w.host.Drained()
	}
}

// endWaits ends what may wait for ever. It is called again and again while the worker
// drains: some have sent their requests just now.
func (w *Worker) endWaits() {
	for i := len(w.sessions) - 1; i >= 0; i-- {
		w.sessions[i].endWait()
	}
}

func (s *session) endWait() {
	switch {
	case s.replicaWait != nil:
		s.cutWait(replyUnblocked)
		return
	case s.waits == 0 || s.window != 0:
		return
	case s.conditions.paused != 0:
		s.cutWait(replyHeld)
		return
	}
	now := s.w.loop.Now()
	since, asked := s.w.unblocked[s]
	if !asked {
		s.w.unblocked[s], since = now, now
	}
	if now-since > int64(drainPatience) {
		s.cutWait(replyUnblocked)
	} else if s.dedicated != nil && s.dedicated.conn.ServerID != 0 {
		s.askToEndWait()
	}
}

// askToEndWait asks the server to unblock the session's connection, over a shared one:
// those for one client alone may all be blocked.
func (s *session) askToEndWait() {
	conn := s.local.ConnSet(resp.RESP2, s.local.Conf().RedisDB).Conn(s.dedicated.shard, s.info.id)
	if !conn.Full() {
		conn.Send(resp.AppendRequest(nil, [][]byte{
			[]byte("CLIENT"), []byte("UNBLOCK"), strconv.AppendInt(nil, s.dedicated.conn.ServerID, 10), []byte("ERROR"),
		}), nobody{}, 0)
	}
}

// nobody is a Receiver of replies that do not matter.
type nobody struct{}

func (nobody) Reply(uint32, []byte, bool)             {}
func (nobody) Fail(uint32, *pipeline.Failure, []byte) {}
func (nobody) Abandon()                               {}

// cutWait answers the only request under way, and closes the client.
func (s *session) cutWait(reply []byte) {
	if !s.replies.midReply() {
		s.conn.Append(reply)
	}
	s.closeWritten()
}
