package session

import "ringway/eventloop"

// HandOver moves half of the sessions whose clients have sent something in the last
// TickEvery to another Worker, each as soon as nothing of it is under way.
func (w *Worker) HandOver(to *Worker) {
	recent := w.loop.Now() - int64(TickEvery)
	var active []*session
	for _, s := range w.sessions {
		if s.lastActive >= recent && s.movingTo == nil && !s.tiedToLoop() {
			active = append(active, s)
		}
	}
	for _, s := range active[:len(active)/2] {
		s.movingTo = to
		s.deferRun()
	}
}

// move moves the session to the loop of movingTo, if nothing of it is under way. If
// something is, RunDeferred calls it again later. The client's socket stays the same; the
// session is in neither loop's list until the other loop attaches it.
func (s *session) move() {
	if !s.canMove() {
		return
	}
	from, to, sh := s.w, s.movingTo, s.movingTo.pools[s.poolIndex]
	s.movingTo = nil
	fd := s.conn.Detach()
	from.detach(s)
	s.useConns(nil)
	to.loop.Post(func() {
		s.shared, s.replies.w, s.replies.stats, s.deferred = sh, to, sh.stats, false
		s.roundAwaited = 0
		s.lastActive, s.lastBusy, s.leaveAt = to.loop.Now(), 0, 0 // the two loops' clocks can't be compared
		s.speak(s.protocol)
		if !s.wantAuth {
			s.limits = &to.limits
		}
		s.updatePolicy()
		if to.draining || !to.attach(s, fd) {
			eventloop.CloseFD(fd)
			s.setUser(nil)
			s.useConns(nil)
			to.host.Left(sh.poolIndex)
		}
	})
}
