package eventloop

import (
	"errors"
	"runtime/debug"
)

// ErrPanicked is passed to Closed when the connection's handler has panicked.
var ErrPanicked = errors.New("the connection's handler panicked")

// Panic describes the panic of a callback: of a handler, a timer, or a function that was posted or
// deferred.
type Panic struct {
	Value any    // what the callback panicked with
	Stack []byte // of the goroutine, as runtime/debug.Stack formats it
}

// Abandoner may be implemented by a Handler or a Deferred, and owns a Timer by Timer.OwnedBy.
// Abandon is called, on the loop, after one of its callbacks has panicked, and after Closed if it
// has a connection that was open. It ends what the callback may have left half done.
type Abandoner interface{ Abandon() }

// OnPanic makes the loop survive a panic of a callback. The connection whose event was handled is
// closed as if it had failed, and so is that of a Handler that was deferred; fn is called on the
// loop; and the turn goes on with what comes next. fn may panic again to end the process, as a
// panic does without OnPanic. Call it before Run. ADR 0029 has the reasons.
//
// Fatal errors of the runtime, such as lack of memory, end the process all the same.
func (l *Loop) OnPanic(fn func(Panic)) { l.onPanic = fn }

// progress is how far a turn has come, so that it can go on after a panic.
type progress struct {
	events    []event  // to come
	pollsLeft int      // how often to look for more events first; see catchUp
	conn      *Conn    // whose event is being handled; nil if none is
	posted    []func() // posted functions to come
	timer     *Timer   // that fires; nil if none does
	ran       int      // how many of Loop.deferred were run
	due       int      // how many of Loop.deferred this pass runs; 0 between two passes

	deferring bool // the last of them is still running
}

// recovered is deferred by work. It recovers from a panic.
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
	// The callback may still be using the bytes that it was given.
	l.readBuf, l.plain = make([]byte, readBufferSize), nil
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

// guarded calls fn and survives its panic.
func (l *Loop) guarded(fn func()) {
	defer func() {
		if v := recover(); v != nil {
			l.onPanic(Panic{v, debug.Stack()})
		}
	}()
	fn()
}

// connOf returns the connection of a Handler, or nil.
func (l *Loop) connOf(h Handler) *Conn {
	for _, c := range l.conns {
		if c != nil && c.h == h {
			return c
		}
	}
	return nil
}
