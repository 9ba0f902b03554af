package eventloop

import (
	"syscall"
	"time"
)

// While a turn lasts, all other connections of the loop wait. A long turn is reported, so that an
// operator can see which client delays the others. The duration of a turn is known anyway; whether
// the loop had the processor all that time is looked up for long turns only.

// LongTurn is how long the loop must have run in a turn for OnLongTurn's fn to be called.
const LongTurn = 10 * time.Millisecond

// OnLongTurn makes the loop call fn, on the loop, after each turn in which it has run for LongTurn
// or more. ran leaves out the time in which the process was stopped, or its thread had no
// processor, as far as the system says. Loop.Now is still the time of that turn. Call OnLongTurn
// before Run.
func (l *Loop) OnLongTurn(fn func(ran time.Duration)) { l.onLongTurn = fn }

// reportLongTurn calls OnLongTurn's fn if the turn that ends at the given time was a long one. The
// time is by the clock that leaves nothing out.
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

// usage is the processor time that a loop had used at some moment.
type usage struct {
	thread            int // that the loop ran on
	byThread, process time.Duration
}

// note records what has been used so far.
func (u *usage) note() {
	*u = usage{thread: threadID(), byThread: processorTime(rusageWho), process: processorTime(syscall.RUSAGE_SELF)}
}

// since returns how much the loop has used since note; if it is on another thread by now, how much
// the process has.
func (u *usage) since() time.Duration {
	if u.thread == threadID() {
		return processorTime(rusageWho) - u.byThread
	}
	return processorTime(syscall.RUSAGE_SELF) - u.process
}

// processorTime returns the processor time of a thread, or of the process.
func processorTime(who int) time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
