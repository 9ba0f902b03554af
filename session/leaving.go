package session

import (
	"time"

	"ringway/command"
)

// A client that has ended its side has said all, and may still want the replies:
// `printf … | nc` is one. Or it is gone, and nobody will read them. Redis answers what
// it has read and closes the connection. Ringway has yet to hear from servers, so it
// waits while there is progress; but who waits in a command that blocks is let go at
// once, so that nothing is popped for nobody, and a server that hangs does not keep the
// seats of clients that are gone.

// A client at its end that has got nothing for so long is closed. Scripts may take
// their time.
const (
	leavingPatience = time.Second
	scriptPatience  = 5 * time.Second
)

// answerTime is how long a server may take to answer a request for which it does not
// have to wait. What has taken longer is waiting.
const answerTime = 100 * time.Millisecond

// leaving is a client that has ended its side.
type leaving struct {
	since    int64 // of the last progress, as eventloop.Loop.Now
	head     uint32
	written  uint64
	seatless bool // it is not counted in max_clients any more
}

// EOF is eventloop.Handler's: a client that has said all is still answered.
func (s *session) EOF() {
	s.eof = true
	s.settle()
	s.leave()
}

// HungUp is eventloop.HangUpHandler's: the client will send no more than what it was
// not read yet.
func (s *session) HungUp() { s.leave() }

// leave begins the client's leave-taking.
func (s *session) leave() {
	switch {
	case s.waitsLong():
		s.closeWritten() // as Redis does
	case s.leaving == nil:
		s.leaving = &leaving{since: s.w.loop.Now(), head: s.replies.head, written: s.conn.Written()}
		s.w.leaving = append(s.w.leaving, s)
	}
}

// waitsLong reports whether a request of the session waits at a server for more than
// the server itself: for an element, for replicas, for the end of a pause. It may
// have been sent just now, and then its reply can be on its way.
func (s *session) waitsLong() bool {
	since := s.w.loop.Now() - int64(answerTime)
	return s.waits != 0 && s.window == 0 && s.waits <= since || s.replicaWait != nil && s.replicaWait.since <= since || s.conditions.waiting[s]
}

// dismiss closes clients at their end that have waited for too long. Those that wait at
// all are not counted as clients: others shall have their seats.
func (w *Worker) dismiss() {
	stay := w.leaving[:0]
	for _, s := range w.leaving {
		if s.conn.Open() && !s.isDismissed() {
			stay = append(stay, s)
		}
	}
	clear(w.leaving[len(stay):])
	w.leaving = stay
}

// isDismissed closes the client if it has waited for too long, and reports whether it
// did.
func (s *session) isDismissed() bool {
	l, now := s.leaving, s.w.loop.Now()
	if written := s.conn.Written(); s.replies.head != l.head || written != l.written {
		l.since, l.head, l.written = now, s.replies.head, written
		return false
	}
	if s.waitsLong() || now-l.since >= int64(s.patience()) {
		s.closeWritten()
		return true
	}
	if !l.seatless {
		l.seatless = true
		s.w.host.GiveSeat(s.poolIndex)
	}
	return false
}

// patience is how long a client at its end waits without progress.
func (s *session) patience() time.Duration {
	switch {
	case s.leaving.seatless && s.w.host.Crowded():
		return 0
	case s.dedicated != nil || s.ran > 0 && command.ByID(int(s.ran)-1).IsScript():
		return scriptPatience
	}
	return leavingPatience
}
