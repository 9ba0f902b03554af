package eventloop

import "math"

// A loop that is turned by hand is for tests that leave nothing to chance: its time is
// what it is given, and what it dials is made by the test.

// ByHand has the loop turned with Turn instead of Run, and dial called on the loop for
// what Dial is asked; done may be called at once or later, between two turns. It is to be
// called before the loop is used. Stop and Run end such a loop, too.
func (l *Loop) ByHand(dial func(t Target, done func(s Socket, err error))) { l.dialer = dial }

// Turn makes one turn of a loop that is turned by hand, at the given time as Now, which
// never goes back. It waits for nothing.
func (l *Loop) Turn(now int64) {
	l.now, l.began = now, math.MaxInt64 // no turn is a long one
	l.progress.events = l.poll.wait(0)
	l.urgentFirst(l.progress.events)
	l.bufs.putDeferred()
	for !l.work() {
	}
}

// Timers is how many timers are armed.
func (l *Loop) Timers() int { return len(l.timers) }
