package server

import (
	"ringway/eventloop"
	"ringway/session"
)

// loop is an event loop with its sessions. It belongs to the loop's goroutine.
type loop struct {
	*eventloop.Loop
	srv      *Server
	sessions *session.Worker

	tick      *eventloop.Timer
	ticks     int
	busyTicks int // one after the other, so far, in which the loop was too busy
	told      told
}

// newLoop makes what the process knows of a loop that does not run yet.
func newLoop(srv *Server, l *eventloop.Loop, sessions *session.Worker) *loop {
	own := &loop{Loop: l, srv: srv, sessions: sessions}
	l.OnPanic(srv.panicked)
	l.OnLentChange(own.tellMemory)
	own.tick = l.NewTimer(own.onTick)
	own.tick.After(session.TickEvery)
	return own
}

func (l *loop) onTick() {
	l.tick.After(session.TickEvery)
	l.sessions.Tick()
	l.balance()
	if l.ticks%weighTicks == 0 {
		l.told.apart = l.sessions.Weigh()
	}
	l.ticks++
	l.tellMemory()
}
