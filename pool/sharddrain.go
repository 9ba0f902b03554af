package pool

import (
	"time"

	"ringway/pipeline"
)

// A server that has lost a shard, or a slot, may refuse what it was sent before, and that
// goes to the server that has it now. New requests wait for it there, so that the order of
// a client's requests does not change.

// drainTime is how long new requests wait for replies of a server that has lost a slot.
// lostDrainTime is the same for a server that has lost its shard, since that may hang.
// After that only those clients wait that have requests in flight (SetOnLate).
const (
	drainTime     = time.Second
	lostDrainTime = 100 * time.Millisecond
)

// awaitDrain makes new requests for sh wait until the requests in flight at from, the
// shard that had a slot of sh before, are answered: they may come here too, and came
// first.
func (sh *localShard) awaitDrain(from *localShard) {
	var conns []*pipeline.Conn
	for _, cs := range sh.l.connSets {
		conns = append(conns, cs.connsTo(from.index)...)
	}
	wait := drainTime
	if !sh.l.Map().Serves(from.index) {
		wait = lostDrainTime
	}
	switch {
	case !sh.countUndrained(conns):
	case sh.allHeld && !sh.draining:
		sh.drainUntil = sh.l.loop.Now() + int64(wait) // its requests wait for a primary already
	default:
		sh.holdForDrain(wait)
	}
}

// awaitsDrain reports whether a shard in "all held" would go on to "draining". When the time for that is over it
// calls SetOnLate's function.
func (sh *localShard) awaitsDrain() bool {
	if sh.drainUntil == 0 || sh.undrained == 0 {
		return false
	}
	if sh.drainUntil > sh.l.loop.Now() {
		return true
	}
	sh.drainUntil = 0
	sh.l.onLate()
	return false
}

// countUndrained counts the connections on which requests are in flight, until these are
// answered. It reports whether there are any.
func (sh *localShard) countUndrained(conns []*pipeline.Conn) (any bool) {
	for _, c := range conns {
		if c.InFlight() > 0 {
			any = true
			sh.undrained++
			c.AfterReplies(sh.drained)
		}
	}
	return any
}

// holdForDrain begins "draining", for a limited time.
func (sh *localShard) holdForDrain(wait time.Duration) {
	sh.allHeld, sh.draining, sh.drainUntil = true, true, 0
	sh.heldUntil = sh.l.loop.Now() + int64(wait)
	sh.timer.Reset(sh.heldUntil)
	sh.setGates()
}

// drained is called when one of the connections that countUndrained has counted has no
// request in flight any more.
func (sh *localShard) drained() {
	if sh.undrained--; sh.undrained == 0 && sh.draining {
		sh.releaseAll()
	}
}
