package server

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

// pick returns the loop for a new client: the first that is not full, or
// the one with the most to spare. Any goroutine may call it.
func (srv *Server) pick() *loop {
	best := srv.loops[0]
	for i, l := range srv.loops {
		busy := l.Busy()
		if i > 0 && busy < unused && srv.processors.Spare() < spareTime {
			continue
		}
		if busy < fullBusy {
			return l
		}
		if busy < best.Busy() {
			best = l
		}
	}
	return best
}

// balance hands half of the clients that are active over to a loop that has
// time for them, if this one has none.
func (l *loop) balance() {
	if l.Busy() < tooBusy || l.sessions.Len() < 2 || len(l.srv.loops) < 2 {
		l.busyTicks = 0
		return
	}
	if l.busyTicks++; l.busyTicks < tooLong {
		return
	}
	l.busyTicks = 0
	if to := l.srv.pick(); to != l && to.Busy() < fullBusy {
		l.sessions.HandOver(to.sessions)
	}
}
