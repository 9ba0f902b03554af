package pool

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"ringway/pipeline"
)

// route is the Redirector and the Observer of one connection in a pool whose primaries
// change. It knows what the connection is for.
type route struct {
	conns  *ConnSet
	shard  int
	conn   int
	server *server
	reads  bool // of a replica
}

// current reports whether the connection still is one to its shard's primary.
func (ro *route) current() bool { return !ro.reads && ro.conns.l.shards[ro.shard].primary == ro.server }

// Refused is pipeline.Redirector's. When a demoted server has refused a write, reads of
// the same client may be in flight behind it. They must not see the state from before
// that write: after ReviewReplies the connection offers them to Review.
func (ro *route) Refused(c *pipeline.Conn, reply []byte, r pipeline.Request) bool {
	kind := RefusalOf(reply)
	if kind == NoRefusal {
		return false
	}
	rt := ro.retryOf(r)
	if kind == Demoted && !ro.reads && (!r.Marked || ro.confirmed(rt, reply)) {
		c.ReviewReplies()
	}
	if !ro.reads && (ro.current() || rt.shard.allHeld || kind <= TryAgain || r.Marked && !InRedisWords(reply)) {
		return ro.conns.l.handleRefusal(rt.shard, rt, reply)
	}
	// The primary that there is now is asked; it also knows better where a slot is.
	ro.conns.l.countRefusal(kind)
	rt.lastRefusal = append(rt.lastRefusal[:0], reply...)
	rt.hops++
	rt.resend()
	return true
}

// confirmed reports whether a script's refusal only says what is known without it: then
// it does not make other requests wait that would not wait anyway.
func (ro *route) confirmed(rt *retry, reply []byte) bool {
	return InRedisWords(reply) && (rt.shard.allHeld || !ro.current())
}

// Review is pipeline.Redirector's: what only reads is executed again, behind the
// request that was refused.
func (ro *route) Review(_ *pipeline.Conn, r pipeline.Request) bool {
	if reads := ro.conns.l.reads; reads == nil || !reads(r.Bytes) {
		return false
	}
	rt := ro.retryOf(r)
	if ro.current() || rt.shard.allHeld {
		return rt.park()
	}
	rt.resend()
	return true
}

// Unsent is pipeline.Redirector's. What was not sent to a server that has lost its shard
// goes behind what was sent to it and may still come back.
func (ro *route) Unsent(_ *pipeline.Conn, err error, r pipeline.Request) bool {
	if refusal := pipeline.HandshakeRefusal(err); refusal != nil && refusal.Lasting() {
		return false // waiting would not help
	}
	_, again := r.Receiver.(*retry)
	rt := ro.retryOf(r)
	rt.err = err
	skip, behindAsking := rt.skip, rt.behindAsking
	rt.skip, rt.behindAsking = 0, false
	if !ro.unsent(rt, again) {
		rt.skip, rt.behindAsking = skip, behindAsking // each reply that was due fails, ASKING's too
		return false
	}
	return true
}

// unsent parks a request that was not sent, or sends it to the primary that there is now.
// again says whether it has come back before. It reports false if the request's time is
// over.
func (ro *route) unsent(rt *retry, again bool) bool {
	if rt.conns.l.loop.Now() >= rt.until {
		return false // hops do not count here: each refusal while a Cluster is down is one
	}
	moved := rt.reassign()
	switch {
	case moved && !rt.shard.allHeld:
		rt.send()
		return true
	case moved, ro.current() && rt.shard.writesHeld:
		return rt.parkUnsent(again) // writes are held, and the connection was given up: see localShard.giveUpReplies
	case ro.current():
		return rt.park()
	case rt.shard.allHeld:
		return rt.parkUnsent(again)
	}
	rt.resend()
	return true
}

// Down is pipeline.Redirector's. A server that refuses a database or a protocol does so
// only for those who asked for it: nobody waits for that to change.
func (ro *route) Down(_ *pipeline.Conn, err error) {
	if ro.current() && !errors.Is(err, pipeline.ErrHandshake) {
		ro.conns.l.shards[ro.shard].holdAll()
	}
}

// Opened is pipeline.Redirector's.
func (ro *route) Opened(*pipeline.Conn) {
	sh := ro.conns.l.shards[ro.shard]
	if ro.current() && (sh.allHeld || sh.failFast) && !sh.draining && sh.refusal == nil {
		sh.releaseAll()
	}
}

// Succeeded is pipeline.Observer's.
func (ro *route) Succeeded() {
	ro.server.Succeeded()
	if ro.current() {
		ro.conns.l.shards[ro.shard].failFast = false
	}
}

// Failed is pipeline.Observer's.
func (ro *route) Failed(err error) bool { return ro.conns.observer(ro.server).Failed(err) }

// Complained is pipeline.Observer's.
func (ro *route) Complained(reply []byte) { ro.server.Complained(reply) }

// RefusalKind is what a server says when it has not executed a request and another server
// may, or the same one later.
type RefusalKind uint8

// The kinds of refusals (the texts are those of Redis 7.0, processCommand and
// getNodeByQuery).
const (
	NoRefusal   RefusalKind = iota
	Moved                   // -MOVED: the slot is another server's
	Ask                     // -ASK: the slot is on its way to another server
	TryAgain                // -TRYAGAIN: some of the keys are here, some there
	ClusterDown             // -CLUSTERDOWN
	Demoted                 // -READONLY: a replica
	Loading                 // -LOADING
	MasterDown              // -MASTERDOWN: a replica that has lost its primary
)

// refusalKinds lists how the refusals begin.
var refusalKinds = []struct {
	prefix string
	kind   RefusalKind
}{
	{"-MOVED ", Moved}, {"-ASK ", Ask}, {"-TRYAGAIN ", TryAgain}, {"-CLUSTERDOWN ", ClusterDown},
	{"-READONLY ", Demoted}, {"-LOADING ", Loading}, {"-MASTERDOWN ", MasterDown},
}

// RefusalOf returns which refusal a reply is. An error of a script is none, since the
// script may have written before it; except at a replica, which has refused all that it
// wrote.
func RefusalOf(reply []byte) RefusalKind {
	for i := range refusalKinds {
		if r := &refusalKinds[i]; bytes.HasPrefix(reply, []byte(r.prefix)) {
			if r.kind != Demoted && bytes.Contains(reply, []byte(" script: ")) {
				return NoRefusal
			}
			return r.kind
		}
	}
	return NoRefusal
}

// handleRefusal sends a request elsewhere or later after its shard's server has refused
// it with reply. It reports false if the reply is for the client.
func (l *Local) handleRefusal(sh *localShard, rt *retry, reply []byte) bool {
	kind := RefusalOf(reply)
	handled := l.redirect(sh, rt, kind, reply)
	if handled {
		l.countRefusal(kind)
	}
	return handled
}

// redirect is handleRefusal for a refusal of this kind.
func (l *Local) redirect(sh *localShard, rt *retry, kind RefusalKind, reply []byte) bool {
	rt.hops++
	if kind == NoRefusal || rt.hops > maxHops && kind <= Ask || l.loop.Now() >= rt.until {
		return rt.endProbe()
	}
	rt.lastRefusal = append(rt.lastRefusal[:0], reply...)
	if rt.marked && rt.replies == 1 {
		return l.handleScriptRefusal(sh, rt, reply)
	}
	switch kind {
	case Moved:
		return l.handleMoved(sh, rt, reply)
	case Ask:
		return l.handleAsk(sh, rt, reply)
	case TryAgain:
		rt.hops = 0 // the server that sent it here sends it here again, until all keys have moved
		l.tryAgainLater(rt)
		return true
	case ClusterDown:
		l.suspect(sh, MovedSlot)
	case Demoted:
		l.suspect(sh, DemotedPrimary)
	}
	return rt.park() || rt.endProbe()
}

// endProbe ends the probe if the request is one: the server answered, and does not
// execute its requests. It returns false, for callers that leave the reply to the
// Receiver.
func (rt *retry) endProbe() bool {
	if sh := rt.shard; sh.probe == rt {
		sh.probe = nil
	}
	return false
}

// proveServer has the shard serve again if the request is its probe: the server executes requests. Requests
// that wait for something else by now go on waiting.
func (rt *retry) proveServer() {
	if rt.shard.probe == rt {
		rt.shard.releaseAll()
	}
}

// suspect reports to the control plane that a shard's primary may have changed.
func (l *Local) suspect(sh *localShard, why Suspicion) {
	if l.watcher != nil && sh.primary != nil {
		l.watcher.Suspect(l.Pool, l.watched(sh.index), sh.primary.addr, why)
	}
}

// SlotsMove reports whether a server of a Cluster has lately said that a slot is on its way,
// by -ASK or -TRYAGAIN: it has only some of the slot's keys. A request for several keys may
// have to be sent again later then, and what its client sends meanwhile must not overtake it.
func (l *Local) SlotsMove() bool {
	return l.slotsMoveAt != 0 && l.loop.Now()-l.slotsMoveAt < int64(slotsMoveFor)
}

const (
	// slotsMoveFor is how long after the last such answer SlotsMove reports true.
	slotsMoveFor = 5 * time.Second
	// tellSlotsMove is how often a loop tells the others.
	tellSlotsMove = time.Second
)

// sawSlotsMove notes such an answer for all loops.
func (l *Local) sawSlotsMove() {
	now := l.loop.Now()
	l.slotsMoveAt = now
	if l.slotsMoveTold == 0 || now-l.slotsMoveTold >= int64(tellSlotsMove) {
		l.slotsMoveTold = now
		l.eachLocal(func(peer *Local) { peer.slotsMoveAt = peer.loop.Now() })
	}
}

// tryAgainDelay is how long a request waits that needs all keys of a slot which is being
// moved.
const tryAgainDelay = 10 * time.Millisecond

// tryAgainLater sends a request again after tryAgainDelay. No other request waits for it.
func (l *Local) tryAgainLater(rt *retry) {
	rt.proveServer()
	l.sawSlotsMove()
	l.loop.NewTimer(rt.resend).OwnedBy(rt).After(tryAgainDelay)
}

// handleScriptRefusal is handleRefusal for a script or a module's command. Clients can
// make up what these reply. So a refusal counts only in Redis's words, only for this
// request, and only if it names a server that is known: no other request waits, no slot
// moves, and no connection is made to an address that a client chose.
func (l *Local) handleScriptRefusal(sh *localShard, rt *retry, reply []byte) bool {
	kind := RefusalOf(reply)
	if !InRedisWords(reply) || kind <= Ask && !l.Map().Slotted() {
		return rt.endProbe()
	}
	switch kind {
	case Moved, ClusterDown:
		l.suspect(sh, MovedSlot)
	case Demoted:
		l.suspect(sh, DemotedPrimary)
	}
	if sh.allHeld && (!sh.draining || kind > Ask) {
		return rt.park() || rt.endProbe()
	}
	rt.endProbe()
	if kind <= Ask {
		if to := l.knownTarget(sh, reply); to != nil {
			rt.shard = to
			if kind == Ask {
				rt.sendAsking(rt.conns.connsTo(to.index)[rt.conn])
			} else {
				rt.send()
			}
			return true
		}
	}
	sh.retryScript(rt)
	return true
}

// knownTarget returns the shard that a redirection names if its primary is known already,
// else nil.
func (l *Local) knownTarget(sh *localShard, reply []byte) *localShard {
	r, ok := l.redirection(sh, reply)
	if !ok {
		return nil
	}
	l.mu.Lock()
	known := l.findShard("", r.addr)
	l.mu.Unlock()
	if known == nil {
		return nil
	}
	l.grow()
	return l.shards[known.index]
}

// redisTexts are the texts of Redis's refusals (server.c and cluster.c of 7.0; unchanged
// since 2.8, or since they exist), without what a script's context adds. Valkey's differ
// in its name.
var redisTexts = [][]byte{
	[]byte("-READONLY You can't write against a read only replica."),
	[]byte("-READONLY Can not run script with write flag on readonly replica"),
	[]byte("-LOADING Redis is loading the dataset in memory"),
	[]byte("-LOADING Valkey is loading the dataset in memory"),
	[]byte("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
	[]byte("-TRYAGAIN Multiple keys request during rehashing of slot"),
	[]byte("-CLUSTERDOWN Hash slot not served"),
	[]byte("-CLUSTERDOWN The cluster is down"),
	[]byte("-CLUSTERDOWN The cluster is down and only accepts read commands"),
}

// InRedisWords reports whether a refusal has the exact text that Redis gives it.
func InRedisWords(reply []byte) bool {
	text, _, _ := bytes.Cut(bytes.TrimSuffix(reply, []byte("\r\n")), []byte(" script: "))
	if _, ok := readRedirection(reply); ok {
		return len(bytes.Fields(text)) == 3
	}
	return slices.ContainsFunc(redisTexts, func(own []byte) bool { return bytes.Equal(text, own) })
}
