package session

import "ringway/eventloop"

// HandOver hands half of the sessions over to another Worker whose clients have sent
// something lately, as soon as nothing of each is under way.
func (w *Worker) HandOver(to *Worker) {
	recent := w.loop.Now() - int64(TickEvery)
	var active []*session
	for _, s := range w.sessions {
		if s.lastActive >= recent && s.moving == nil && !s.rooted() {
			active = append(active, s)
		}
	}
	for _, s := range active[:len(active)/2] {
		s.moving = to
		s.settle()
	}
}

// move hands the session over to another loop, if nothing of it is under way.
// Otherwise it is called again when that may be so.
func (s *session) move() {
	if !s.quiet() {
		return
	}
	from, to, sh := s.w, s.moving, s.moving.pools[s.poolIndex]
	s.moving = nil
	fd := s.conn.Detach()
	from.detach(s)
	s.useConns(nil)
	to.loop.Post(func() {
		s.shared, s.replies.w, s.settling = sh, to, false
		s.lastActive, s.lastBusy = to.loop.Now(), 0 // clocks of two loops can't be compared
		s.speak(s.protocol)
		if !s.wantAuth {
			s.limits = &to.limits
		}
		s.changed()
		if to.draining || !to.attach(s, fd) {
			eventloop.CloseFD(fd)
			s.setUser(nil)
			s.useConns(nil)
			to.host.Left(sh.poolIndex)
		}
	})
}
