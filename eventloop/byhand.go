package eventloop

import "math"

// A loop that is turned by hand is for tests that must not depend on chance: the test sets its time
// and makes its connections.

// ByHand prepares the loop to be turned with Turn instead of Run. Dial calls dial, on the loop;
// done may be called at once, or later between two turns. Call ByHand before the loop is used. Stop
// and Run end such a loop, too.
func (l *Loop) ByHand(dial func(t Target, done func(s Socket, err error))) { l.dialer = dial }

// Turn makes one turn, with now as the time, which must never go back. It does not wait.
func (l *Loop) Turn(now int64) {
	l.now, l.began = now, math.MaxInt64 // no turn is a long one
	l.polls++
	l.progress.events = l.poll.wait(0)
	l.urgentFirst(l.progress.events)
	l.bufs.putDeferred()
	for !l.work() {
	}
}

// Timers returns how many timers are armed.
func (l *Loop) Timers() int { return len(l.timers) }
