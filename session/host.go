package session

import "time"

// Host is the process that the sessions are a part of. Any loop may call its methods.
type Host interface {
	// Left is called when a client of a pool, which the host has counted in, is gone.
	Left(pool int)
	// GiveSeat counts a client out that is at its end and waits for a server. It goes
	// on to have a descriptor, until Unseated is called in place of Left.
	GiveSeat(pool int)
	Unseated()
	// Crowded reports whether clients without a seat have descriptors that others could
	// need.
	Crowded() bool
	// Freed is called when something was given up that may have been large and is in no
	// buffer of a loop.
	Freed()
	// Drained is called once, when a Worker that drains has no session left.
	Drained()
	// State is what INFO tells of the process.
	State() State
}

// State is what INFO tells of the process.
type State struct {
	Started         time.Time
	Clients         int64
	MaxClients      int
	Panics          int64 // that loops have survived
	MaxMemory       int64 // bytes
	Held            int64 // bytes of it in use
	ClosedForMemory int64 // clients
}
