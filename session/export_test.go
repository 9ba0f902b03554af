package session

import "time"

// The following are for tests of the whole proxy; each runs on the Worker's loop.

// Herd asks all sessions to move to another Worker, as HandOver does for some of them.
func (w *Worker) Herd(to *Worker) {
	w.loop.Post(func() {
		for _, s := range w.sessions {
			if w != to && s.moving == nil {
				s.moving = to
				s.settle()
			}
		}
	})
}

// Do runs fn and waits for that.
func (w *Worker) Do(fn func()) {
	done := make(chan struct{})
	w.loop.Post(func() {
		defer close(done)
		fn()
	})
	<-done
}

// Post runs fn some time later.
func (w *Worker) Post(fn func()) { w.loop.Post(fn) }

// Bomb has the client at addr send a request to a shard whose reply makes the
// session panic.
func (w *Worker) Bomb(addr string, shard int, request []byte) {
	w.onSession(addr, func(s *session) {
		s.to(shard).Send(request, bomb{s}, s.push())
	})
}

// Trap makes the next request of a client panic, or at once what its session has
// deferred.
func (w *Worker) Trap(addr string, deferred bool) {
	w.onSession(addr, func(s *session) {
		s.limits = nil
		if deferred {
			s.conns, s.tracking = nil, &tracking{} // which has no session
			s.settle()
		}
	})
}

// onSession runs fn on a client's session if it is this Worker's, and waits for that.
func (w *Worker) onSession(addr string, fn func(s *session)) {
	w.Do(func() {
		for _, s := range w.sessions {
			if s.info.addr == addr {
				fn(s)
			}
		}
	})
}

// bomb is a Receiver that panics.
type bomb struct{ *session }

func (b bomb) Reply(uint32, []byte, bool) { panic("bomb") }

// Busy has the loop busy for a while in one turn, as if for one of its clients.
func (w *Worker) Busy(d time.Duration) {
	w.Do(func() {
		if len(w.sessions) > 0 {
			w.working(w.sessions[0], 1<<20)
		}
		for began := time.Now(); time.Since(began) < d; {
		}
	})
}
