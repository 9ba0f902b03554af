package server

import "time"

// Herd asks all sessions to move to one worker, as balance does for some of
// them when a loop is too busy.
func (srv *Server) Herd(target int) {
	for _, w := range srv.workers {
		w.loop.Post(func() {
			for _, s := range w.sessions {
				if w != srv.workers[target] && s.moving == nil {
					s.moving = srv.workers[target]
					s.settle()
				}
			}
		})
	}
}

// Sessions is how many sessions each worker has.
func (srv *Server) Sessions() []int {
	counts := make([]int, len(srv.workers))
	done := make(chan struct{})
	for i, w := range srv.workers {
		w.loop.Post(func() {
			counts[i] = len(w.sessions)
			done <- struct{}{}
		})
	}
	for range srv.workers {
		<-done
	}
	return counts
}

// Clients is how many clients the server counts.
func (srv *Server) Clients() int { return int(srv.clients.Load()) }

// Tick makes each loop's tick happen in the middle of a turn: after the events
// were handled, before what they deferred. It may be called at any time.
func (srv *Server) Tick() {
	for _, w := range srv.workers {
		w.loop.Post(w.onTick)
	}
}

// Bomb has the client at addr send a request to a shard whose reply makes the
// session panic.
func (srv *Server) Bomb(addr string, shard int, request []byte) {
	srv.onSession(addr, func(s *session) {
		s.to(shard).Send(request, bomb{s}, s.push())
	})
}

// Trap makes the next request of a client panic, or at once what its session has
// deferred.
func (srv *Server) Trap(addr string, deferred bool) {
	srv.onSession(addr, func(s *session) {
		s.limits = nil
		if deferred {
			s.lanes, s.tracking = nil, &tracking{} // which has no session
			s.settle()
		}
	})
}

// onSession runs fn on the loop of a client's session, and waits for that.
func (srv *Server) onSession(addr string, fn func(s *session)) {
	done := make(chan struct{})
	for _, w := range srv.workers {
		w.loop.Post(func() {
			for _, s := range w.sessions {
				if s.info.addr == addr {
					fn(s)
				}
			}
			done <- struct{}{}
		})
	}
	for range srv.workers {
		<-done
	}
}

// bomb is a Receiver that panics.
type bomb struct{ *session }

func (b bomb) Reply(uint32, []byte, bool) { panic("bomb") }

// MaxPanics is how many the process survives within a minute.
const MaxPanics = maxPanics

// TooManyPanics reports whether n panics, one after each interval, are too many.
func TooManyPanics(n int, interval time.Duration) (tooMany bool) {
	var p panics
	now := time.Now()
	for range n {
		now = now.Add(interval)
		tooMany = p.add(now)
	}
	return tooMany
}

// Held is how many bytes the loops hold for clients and servers, by their last word.
func (srv *Server) Held() int { return int(srv.memory.held.Load()) }

// ClosedForMemory is how many clients were closed at max_memory.
func (srv *Server) ClosedForMemory() int { return int(srv.memory.closed.Load()) }

// Stall has no loop run for a while, as if the process had been stopped. It returns when
// all of them stand.
func (srv *Server) Stall(until <-chan struct{}) {
	standing := make(chan struct{})
	for _, w := range srv.workers {
		w.loop.Post(func() {
			standing <- struct{}{}
			<-until
		})
	}
	for range srv.workers {
		<-standing
	}
}

// Hold has the loops busy for a while in one turn, as if for one of their clients.
func (srv *Server) Hold(d time.Duration) {
	for _, w := range srv.workers {
		done := make(chan struct{})
		w.loop.Post(func() {
			defer close(done)
			if len(w.sessions) > 0 {
				w.working(w.sessions[0], 1<<20)
			}
			for began := time.Now(); time.Since(began) < d; {
			}
		})
		<-done
	}
}
