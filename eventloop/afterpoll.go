package eventloop

// Two connections of different loops have no order, however far apart their bytes came: a thread
// may be late by milliseconds. Whoever needs the order asks the other loop whether it has handled
// what came before.

// afterPoll is a function that AfterPoll was given.
type afterPoll struct {
	due uint64 // the value of Loop.polls from which on it is called
	fn  func()
}

// AfterPoll calls fn on the loop when the loop has handled everything that its connections had in
// the kernel when AfterPoll was called, as far as one read takes it. Any goroutine may call it. If
// the loop has ended, fn is not called.
func (l *Loop) AfterPoll(fn func()) {
	// The events of the turn that runs this may be older than the call, and one poll returns
	// maxEvents at most. The next one then returns others.
	l.Post(func() {
		l.afterPolls = append(l.afterPolls, afterPoll{l.polls + 1 + uint64(l.openConns/maxEvents), fn})
	})
}

// runAfterPolls calls the functions that are due. It comes after the events of a turn.
func (l *Loop) runAfterPolls() {
	for i := 0; i < len(l.afterPolls); {
		p := l.afterPolls[i]
		if p.due > l.polls {
			i++
			continue
		}
		last := copy(l.afterPolls[i:], l.afterPolls[i+1:]) + i
		l.afterPolls[last] = afterPoll{}
		l.afterPolls = l.afterPolls[:last]
		p.fn()
	}
}

// Quiet reports whether the loop sleeps, and no connection or posted function waits for it: then
// it has handled everything that its connections had in the kernel when Quiet was called. It may
// report false although that is so. Any goroutine may call it.
func (l *Loop) Quiet() bool {
	// In this order: what is no longer in the kernel was taken in a turn that has ended, since the
	// loop sleeps after that.
	return l.asleep.Load() && !l.poll.hasEvents() && l.asleep.Load()
}
