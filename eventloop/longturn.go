package eventloop

import (
	"syscall"
	"time"
)

// While a turn lasts, all of the loop's connections wait. One that lasts long is told of,
// so that it can be seen who holds up the others. Its length is known anyway; what is to be
// looked up, whether the loop ran all that time, is looked up for long ones only.

// LongTurn is how much of a turn the loop must have run for OnLongTurn's fn to be called.
const LongTurn = 10 * time.Millisecond

// OnLongTurn has fn called, on the loop, after each turn for whose work the loop has run
// for LongTurn or more. What it is given leaves out the time in which the process was
// stopped, or its thread had no processor, as far as the system tells. Now is still what
// it was in that turn. Call OnLongTurn before Run.
func (l *Loop) OnLongTurn(fn func(ran time.Duration)) { l.onLongTurn = fn }

// tellLong calls OnLongTurn's fn if the turn that ends at the given time, by the clock
// that leaves nothing out, was a long one.
func (l *Loop) reportLongTurn(end int64) {
	took := time.Duration(end - l.began)
	if took < LongTurn || l.onLongTurn == nil || l.began == 0 {
		return
	}
	// Turns before it in the window ran too, for as long as they lasted at most.
	others := time.Duration(l.began - l.busyFrom - l.busyIdle)
	if ran := min(took, l.usage.since()-others); ran >= LongTurn {
		l.onLongTurn(ran)
	}
}

// usage is the processor time that a loop had used at some time.
type usage struct {
	thread            int // that the loop ran on
	byThread, process time.Duration
}

// note notes what has been used so far.
func (u *usage) note() {
	*u = usage{thread: threadID(), byThread: processorTime(rusageWho), process: processorTime(syscall.RUSAGE_SELF)}
}

// since is how much the loop has used since note; if it is on another thread by now, how
// much the process has.
func (u *usage) since() time.Duration {
	if u.thread == threadID() {
		return processorTime(rusageWho) - u.byThread
	}
	return processorTime(syscall.RUSAGE_SELF) - u.process
}

// processorTime is the processor time of a thread, or of the process.
func processorTime(who int) time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
