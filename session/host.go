package session

import (
	"time"

	"ringway/audit"
)

// Host is the process that the sessions are part of: package server implements it. Workers of
// all loops call its methods, each on its own goroutine.
type Host interface {
	// Left is called when a client of a pool has gone: it no longer counts against
	// max_clients. The host had counted it before it called Adopt.
	Left(pool int)
	// Uncount ends the count of a client against max_clients that is half-closed and waits
	// for a server (halfclosed.go). The client still has a descriptor, until UncountedLeft
	// is called for it instead of Left.
	Uncount(pool int)
	UncountedLeft()
	// DescriptorsShort reports whether uncounted clients hold so many descriptors that new
	// clients may find none.
	DescriptorsShort() bool
	// Freed is called when garbage that may be large was made outside the buffers of a loop,
	// such as a transaction: the host decides when to collect it.
	Freed()
	// Drained is called once, when a Worker that drains has no session left.
	Drained()
	// SpeakTLS shakes hands with a client that has begun with TLS in a pool that takes both (conf.Pool.PlainAndTLS),
	// and then calls Adopt. The client and its socket are the host's from then on; it stays counted.
	SpeakTLS(c Client)
	// Audit returns the process's audit log.
	Audit() *audit.Log
	// State returns what INFO shows of the process.
	State() State
}

// State is what INFO shows of the process.
type State struct {
	Started         time.Time
	Clients         int64
	MaxClients      int
	Panics          int64     // that loops have recovered from
	ConfigHash      string    // of the configuration in force
	Loaded          time.Time // when it was
	MaxMemory       int64     // max_memory, in bytes
	MemoryUsed      int64     // bytes of it in use
	ClosedForMemory int64     // clients closed because of it
}
