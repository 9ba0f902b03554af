package server

import "ringway/eventloop"

// Clients are placed so that few loops are busy rather than all a little: a
// loop with much to do makes large batches, which cost less for each request.
// But a loop that is too busy is given no more, and one that stays so hands
// sessions over, if the machine has a processor to run another loop.
const (
	fullBusy  = 0.70 // a loop that is busier gets no new client if another is not
	tooBusy   = 0.90 // a loop that is busier hands sessions over
	unused    = 0.02 // a loop that is less busy has nothing to do
	spareTime = 0.30 // processors that must be unused for such a loop to be opened
	tooLong   = 5    // ticks that a loop must have been too busy: longer than it takes to know what is unused
)

// pick returns the worker for a new client: the first that is not full, or
// the one with the most to spare. Any goroutine may call it.
func (srv *Server) pick() *worker {
	best := srv.workers[0]
	for i, w := range srv.workers {
		busy := w.loop.Busy()
		if i > 0 && busy < unused && srv.processors.Spare() < spareTime {
			continue
		}
		if busy < fullBusy {
			return w
		}
		if busy < best.loop.Busy() {
			best = w
		}
	}
	return best
}

// balance hands half of the clients that are active over to a loop that has
// time for them, if this one has none.
func (w *worker) balance() {
	if w.loop.Busy() < tooBusy || len(w.sessions) < 2 || len(w.server.workers) < 2 {
		w.busyTicks = 0
		return
	}
	if w.busyTicks++; w.busyTicks < tooLong {
		return
	}
	w.busyTicks = 0
	target := w.server.pick()
	if target == w || target.loop.Busy() >= fullBusy {
		return
	}
	recent := w.loop.Now() - int64(tickEvery)
	var active []*session
	for _, s := range w.sessions {
		if s.lastActive >= recent && s.moving == nil && !s.rooted() {
			active = append(active, s)
		}
	}
	for _, s := range active[:len(active)/2] {
		s.moving = target
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
	s.takeLanes(nil)
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
			s.become(nil)
			s.takeLanes(nil)
			to.server.left(sh.poolName)
		}
	})
}
