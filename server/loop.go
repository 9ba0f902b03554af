package server

import (
	"sync/atomic"

	"ringway/eventloop"
	"ringway/session"
)

// loop is an event loop with its sessions. Its fields belong to the loop's goroutine, but
// for questions, reported.largest and told.
type loop struct {
	*eventloop.Loop
	srv      *Server
	sessions *session.Worker

	tick      *eventloop.Timer
	ticks     int
	busyTicks int // how many ticks in a row the loop has been busier than tooBusy
	reported  reported
	questions questions
	told      atomic.Pointer[LoopFigures] // the last figures; any goroutine may read them
}

// newLoop returns the loop of l, which must not run yet, and starts its ticks.
func newLoop(srv *Server, l *eventloop.Loop, sessions *session.Worker) *loop {
	own := &loop{Loop: l, srv: srv, sessions: sessions}
	l.OnPanic(srv.onPanic)
	l.OnLentChange(own.reportMemory)
	own.tick = l.NewTimer(own.onTick)
	own.tick.After(session.TickEvery)
	return own
}

// onTick runs every session.TickEvery.
func (l *loop) onTick() {
	l.tick.After(session.TickEvery)
	l.sessions.Tick()
	l.balance()
	if l.ticks%unlentTicks == 0 {
		l.reported.unlent = l.sessions.Unlent()
	}
	l.ticks++
	l.reportMemory()
}
