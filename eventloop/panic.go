package eventloop

import (
	"errors"
	"runtime/debug"
)

// ErrPanicked is what a connection is Closed with because its handler panicked.
var ErrPanicked = errors.New("the connection's handler panicked")

// Panic is what a callback panicked with: a handler, a timer, or what was posted
// or deferred.
type Panic struct {
	Value any    // that it panicked with
	Stack []byte // of the goroutine, as runtime/debug.Stack formats it
}

// Abandoner may be implemented by a Handler or a Deferred, and owns a Timer by
// Timer.Of. Abandon is called, on the loop, after one of its callbacks has
// panicked, and after Closed if it has a connection that was open. It ends what
// the callback may have left half done.
type Abandoner interface{ Abandon() }

// OnPanic has the loop survive a panic of a callback: the connection whose event
// was handled is closed, as if it had failed, and so is that of a Handler that
// was deferred; fn is told, on the loop; and the turn goes on with what comes
// next. Whoever is told may panic again to end the process, as a panic does
// without OnPanic. Call it before Run.
//
// What cannot be recovered from, such as want of memory, ends the process all
// the same.
func (l *Loop) OnPanic(fn func(Panic)) { l.onPanic = fn }

// progress is how far a turn has come, so that it can go on after a panic.
type progress struct {
	events    []event  // to come
	pollsLeft int      // how often to look for more events first; see catchUp
	conn      *Conn    // whose event is being handled; nil if none is
	posted    []func() // posted functions to come
	timer     *Timer   // that fires; nil if none does
	ran       int      // of Loop.deferred, those that were run
	due       int      // of Loop.deferred, those that are run in this go; 0 between two

	deferring bool // the last of those that were run still runs
}

// recovered is deferred by work.
func (l *Loop) recovered() {
	if l.onPanic == nil {
		return
	}
	if v := recover(); v != nil {
		l.onPanic(Panic{v, debug.Stack()})
		l.abandonCurrent()
	}
}

// abandonCurrent ends what the callback that panicked belongs to.
func (l *Loop) abandonCurrent() {
	// Whatever the callback was given to look at may still be looked at.
	l.readBuf = make([]byte, readBufferSize)
	t := &l.progress
	var owner any
	conn := t.conn
	switch {
	case conn != nil:
		owner = conn.h
	case t.timer != nil:
		owner = t.timer.owner
	case t.deferring:
		owner = l.deferred[t.ran-1]
		if h, ok := owner.(Handler); ok {
			conn = l.connOf(h)
		}
	}
	t.conn, t.timer, t.deferring, l.inHandler = nil, nil, false, nil
	if conn != nil {
		l.guarded(func() { conn.fail(ErrPanicked) })
	}
	if a, ok := owner.(Abandoner); ok {
		l.guarded(a.Abandon)
	}
}

// guarded calls fn, which the loop survives.
func (l *Loop) guarded(fn func()) {
	defer func() {
		if v := recover(); v != nil {
			l.onPanic(Panic{v, debug.Stack()})
		}
	}()
	fn()
}

// connOf returns the connection whose Handler it is, or nil.
func (l *Loop) connOf(h Handler) *Conn {
	for _, c := range l.conns {
		if c != nil && c.h == h {
			return c
		}
	}
	return nil
}
