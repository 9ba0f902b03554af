package eventloop

import "time"

// A process may stand still: somebody stops it, its container has used up its share of processor
// time, its machine is moved. When it continues, everything that happened meanwhile waits in the
// sockets, and by any clock every timer is overdue. So the loop reads what is ready before it runs
// timers, and its clock leaves out the time by which the turn came too late: a peer that had two
// seconds left to answer still has them.

// The delay is measured by an overdue timer. A server's loops have one that fires ten times a
// second.

// lateTolerance is how late a timer may be on a machine that is merely busy.
const lateTolerance = int64(100 * time.Millisecond)

// setClock sets the loop's time at the start of a turn. If the turn is much too late, that is the
// time of the turn before. The next late turn then runs the first timer, so that at least every
// other turn runs one, however slow the turns are.
func (l *Loop) setClock(monotonic int64) {
	now, late := monotonic-l.skipped, false
	if len(l.timers) > 0 && now-l.timers[0].at > lateTolerance {
		at := l.timers[0].at
		if late = !l.lateTurn; late {
			at = l.now
		}
		l.skipped += now - at
		now = at
	}
	l.now, l.lateTurn = now, late
}

// catchUp handles what else is ready in a turn that began too late, each connection once, before
// timers run.
func (l *Loop) catchUp() {
	for l.progress.pollsLeft > 0 {
		l.progress.pollsLeft--
		l.progress.events = l.poll.wait(0)
		l.urgentFirst(l.progress.events)
		if len(l.progress.events) < maxEvents-1 { // the event that wakes the loop may have been taken out
			l.progress.pollsLeft = 0
		}
		l.handle()
	}
}
