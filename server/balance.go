package server

// New clients go to few loops rather than to all of them (docs/adr/0005-placing-clients.md):
// a busy loop makes large batches, which cost less per request. A loop above fullBusy gets
// no new client, and a loop that stays above tooBusy hands sessions over, if the machine
// has a processor to run another loop. Shares are of a loop's time, from 0 to 1.
const (
	fullBusy      = 0.70 // a busier loop gets no new client while another loop is less busy
	tooBusy       = 0.90 // a busier loop hands sessions over
	unused        = 0.02 // a less busy loop counts as unused
	spareTime     = 0.30 // idle processors that are needed before an unused loop gets clients
	handOverTicks = 5    // ticks above tooBusy before a loop hands over: longer than processorsEvery, so that Spare is current
)

// pick returns the loop for a new client: the first that is less busy than fullBusy, or
// the least busy one. Any goroutine may call it.
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

// balance hands half of the active sessions over to a less busy loop, if this loop has
// been above tooBusy for handOverTicks. It is called once a tick.
func (l *loop) balance() {
	if l.srv.Draining() || l.Busy() < tooBusy || l.sessions.Len() < 2 || len(l.srv.loops) < 2 {
		l.busyTicks = 0
		return
	}
	if l.busyTicks++; l.busyTicks < handOverTicks {
		return
	}
	l.busyTicks = 0
	if to := l.srv.pick(); to != l && to.Busy() < fullBusy {
		l.sessions.HandOver(to.sessions)
	}
}
