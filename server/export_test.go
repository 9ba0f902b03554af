package server

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
