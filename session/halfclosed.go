package session

import (
	"time"

	"ringway/command"
)

// A half-closed client has closed its sending side (FIN) and may still read: `printf … | nc`
// wants the replies. Or its process has ended and the replies are of no use: TCP does not show
// which.
// Redis answers what it has read and closes the connection. Ringway must wait for servers
// first, so it goes on while there is progress: replies leave the line, or the client takes
// bytes. A client without progress is closed after a grace period, so that a server that hangs
// does not keep the connections of clients that have gone. A client in a blocking command is
// closed at once, so that no element is popped for it (docs/adr/0024-clients-that-leave.md).

// The grace periods: for how long a half-closed client may be without progress.
const (
	halfCloseGrace = time.Second
	scriptGrace    = 5 * time.Second // for scripts and requests on dedicated connections, which may be slow
)

// answerTime is how long a server may take for a request that does not block. One that has taken
// longer is blocked.
const answerTime = 100 * time.Millisecond

// halfClosed is the state of a half-closed client.
type halfClosed struct {
	since     int64  // when it last made progress, as eventloop.Loop.Now
	head      uint32 // replies.head then
	written   uint64 // eventloop.Conn.Written then
	uncounted bool   // it is not counted against max_clients any more (Host.Uncount)
}

// EOF implements eventloop.Handler: all that the client has sent has been read. It is still
// answered.
func (s *session) EOF() {
	s.eof = true
	s.deferRun()
	s.halfClose()
}

// HungUp implements eventloop.HangUpHandler: the client has closed its sending side, while the
// session does not read. What is in the kernel's buffer is still to be read.
func (s *session) HungUp() { s.halfClose() }

// halfClose begins the half-closed state, or closes a client that is blocked.
func (s *session) halfClose() {
	switch {
	case s.waitsLong():
		s.closeWritten() // Redis does the same
	case s.halfClosed == nil:
		s.halfClosed = &halfClosed{since: s.w.loop.Now(), head: s.replies.head, written: s.conn.Written()}
		s.w.halfClosed = append(s.w.halfClosed, s)
	}
}

// waitsLong reports whether a request of the session is blocked: it waits for an element, for
// replicas, or for the end of a pause. One that was sent less than answerTime ago does not
// count, since its reply may be on the way.
func (s *session) waitsLong() bool {
	since := s.w.loop.Now() - int64(answerTime)
	return s.blockedSince != 0 && s.window == 0 && s.blockedSince <= since || s.replicaWait != nil && s.replicaWait.since <= since || s.conditions.pauseWaiters[s] ||
		s.shardsWait != nil && s.shardsWait.isIdle()
}

// closeHalfClosed closes the half-closed clients whose grace period has passed. Those that it
// leaves without progress no longer count against max_clients. Worker.Tick calls it.
func (w *Worker) closeHalfClosed() {
	stay := w.halfClosed[:0]
	for _, s := range w.halfClosed {
		if s.conn.Open() && !s.closeIfOverdue() {
			stay = append(stay, s)
		}
	}
	clear(w.halfClosed[len(stay):])
	w.halfClosed = stay
}

// closeIfOverdue closes the half-closed client if its grace period has passed, and reports whether
// it did.
func (s *session) closeIfOverdue() bool {
	h, now := s.halfClosed, s.w.loop.Now()
	if written := s.conn.Written(); s.replies.head != h.head || written != h.written || s.isDelayed() {
		h.since, h.head, h.written = now, s.replies.head, written
		return false
	}
	if s.waitsLong() || now-h.since >= int64(s.grace()) {
		s.closeWritten()
		return true
	}
	if !h.uncounted {
		h.uncounted = true
		s.w.host.Uncount(s.poolIndex)
	}
	return false
}

// grace returns the client's grace period. An uncounted client has none while descriptors are short:
// new clients need them.
func (s *session) grace() time.Duration {
	switch {
	case s.halfClosed.uncounted && s.w.host.DescriptorsShort():
		return 0
	case s.dedicated != nil || s.executing != nil || s.lastCommand > 0 && command.ByID(int(s.lastCommand)-1).IsScript():
		return scriptGrace
	}
	return halfCloseGrace
}
