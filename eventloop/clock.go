package eventloop

import "time"

// A process may stand still: somebody stops it, its container has used up its share of
// processor time, its machine is moved. When it goes on, all that happened meanwhile waits
// in the sockets, and by any clock whatever was to be waited for is overdue. So what is
// ready is read before timers are believed, and a loop's clock leaves out the time by which
// it came too late: whoever had two seconds left to answer has them still.

// It takes a timer to know that time was missed. A server's loops have one that fires ten
// times a second.

// tolerated is how late a timer may be on a machine that is merely busy.
const lateTolerance = int64(100 * time.Millisecond)

// setClock sets the loop's time at the start of a turn: that of the turn before if this one
// is much too late. When it is so again the first timer fires, so that one does in every
// other turn however slow they are.
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

// catchUp handles what else is ready in a turn that began too late, each connection once,
// before timers are run.
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
