package session

import "ringway/eventloop"

// HandOver moves half of the sessions whose clients have sent something in the last
// TickEvery to another Worker, each as soon as nothing of it is under way.
func (w *Worker) HandOver(to *Worker) {
	if w.giving != nil {
		return
	}
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

// destination is where a session goes that leaves its loop: another Worker, or another process.
type destination interface {
	// canTake reports whether the session can go there now: nothing of it is under way.
	canTake(s *session) bool
	// take moves the session, which can be taken. It is called on the session's loop.
	take(s *session)
}

// move moves the session to where it is to go, if nothing of it is under way. If something is,
// RunDeferred calls it again later. The client's socket stays the same.
func (s *session) move() {
	if to := s.movingTo; to.canTake(s) {
		s.movingTo = nil
		to.take(s)
	}
}

// canTake is destination's.
func (w *Worker) canTake(s *session) bool {
	return s.isIdle() && s.conn.Unread() == 0 && s.parse.Need() == 0
}

// take is destination's. The session is in neither loop's list until this worker's loop attaches it.
func (w *Worker) take(s *session) {
	from, to, sh := s.w, w, w.pools[s.poolIndex]
	socket := s.conn.Detach()
	from.detach(s)
	from.forgetWork(s)
	s.useConns(nil)
	to.loop.Post(func() {
		s.shared, s.replies.w, s.replies.stats, s.deferred = sh, to, sh.stats, false
		s.lastBusy, s.leaveAt, s.movingUntil = 0, 0, 0 // the two loops' clocks can't be compared
		s.lastActive = to.loop.Now()
		s.enter(socket)
	})
}

// enter begins, or goes on, with a session whose shared is that of this loop and whose client's socket
// is given. It reports false if that can't be: then the client was closed.
func (s *session) enter(socket eventloop.Socket) bool {
	w := s.w
	s.roundAwaited = 0
	s.speak(s.protocol)
	if !s.wantAuth {
		s.limits = &w.limits
	}
	s.updatePolicy()
	if w.draining || !w.attach(s, socket) {
		socket.Close()
		s.setUser(s.proxyUser, nil)
		s.useConns(nil)
		s.left()
		return false
	}
	if s.followUsers() { // they may have changed while the session was on no loop
		return false
	}
	s.updatePolicy()
	return true
}

// isIdle reports whether nothing of the session is under way, and nothing of this loop belongs to it.
func (s *session) isIdle() bool {
	return s.replies.idle() && s.conn.Waiting() == 0 && s.halfClosed == nil && !s.closing && !s.tiedToLoop() && s.pendingWakeups == 0
}

// tiedToLoop reports whether the session has something that belongs to its loop and that
// only the client ends, such as subscriptions or a dedicated connection.
func (s *session) tiedToLoop() bool {
	return s.dedicated != nil || s.otherWatches != nil || s.tx != nil || s.sub != nil || s.tracking != nil || s.redirectsHere != 0 || s.monitor != nil
}
