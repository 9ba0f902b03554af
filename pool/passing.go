package pool

import (
	"time"

	"ringway/pipeline"
)

// What a server that has lost a shard, or a slot, was sent before may come back
// refused, and then goes to the one that has it now. So that no client's requests
// change their order, new ones let those pass.

// passingTime bounds the wait for replies of a server that is no longer the one
// to ask, and lastWait that for one which has lost everything: perhaps since it
// hangs, and then others need not. After that only those wait of whom anything is
// under way (SetOnLate).
const (
	passingTime = time.Second
	lastWait    = 100 * time.Millisecond
)

// letPass has new requests for sh wait until those that are under way to the
// shard that had their slot are answered: they may come here too, and they came
// first.
func (sh *localShard) letPass(from *localShard) {
	if sh.waiting && !sh.passing {
		return // for its primary
	}
	var conns []*pipeline.Conn
	for _, n := range sh.l.shared {
		conns = append(conns, n.of(from.index)...)
	}
	wait := passingTime
	if !sh.l.Map().Serves(from.index) {
		wait = lastWait
	}
	if sh.underWay(conns) {
		sh.letPassFor(wait)
	}
}

// underWay counts the connections on which requests await replies, until they
// have them. It reports whether there are any.
func (sh *localShard) underWay(conns []*pipeline.Conn) (any bool) {
	for _, c := range conns {
		if c.InFlight() > 0 {
			any = true
			sh.draining++
			c.AfterReplies(sh.passed)
		}
	}
	return any
}

// letPassFor has everything wait for what underWay has counted, but no longer than
// that.
func (sh *localShard) letPassFor(wait time.Duration) {
	sh.waiting, sh.passing = true, true
	sh.until = sh.l.loop.Now() + int64(wait)
	sh.timer.Reset(sh.until)
	sh.setGates()
}

// passed tells that one of the connections that underWay has counted is drained.
func (sh *localShard) passed() {
	if sh.draining--; sh.draining == 0 && sh.passing {
		sh.recovered()
	}
}
