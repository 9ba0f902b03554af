package pool

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"ringway/pipeline"
)

// route is the Redirector and the Observer of one connection, in a pool whose primaries change:
// it knows what the connection is for.
type route struct {
	conns  *ConnSet
	shard  int
	conn   int
	server *server
	reads  bool // of a replica
}

// current tells whether the connection is still the one to its shard's primary.
func (a *route) current() bool { return !a.reads && a.conns.l.shards[a.shard].primary == a.server }

// Refused is pipeline.Redirector's. Behind a write that a demoted server has
// refused, reads may be under way of the same client, who must not see the state
// from before that write.
func (a *route) Refused(c *pipeline.Conn, reply []byte, r pipeline.Request) bool {
	kind := RefusalOf(reply)
	if kind == NoRefusal {
		return false
	}
	e := a.retryOf(r)
	if kind == Demoted && !a.reads && (!r.Marked || a.confirmed(e, reply)) {
		c.ReviewReplies()
	}
	if !a.reads && (a.current() || e.shard.waiting || kind <= TryAgain || r.Marked && !InRedisWords(reply)) {
		return a.conns.l.refused(e.shard, e, reply)
	}
	// The primary is the one to ask then, and knows better where a slot is.
	e.why = append(e.why[:0], reply...)
	e.hops++
	e.resend()
	return true
}

// confirmed tells whether a script's refusal says what is known without it, so that
// others may be held up by it who are held up already.
func (a *route) confirmed(e *retry, reply []byte) bool {
	return InRedisWords(reply) && (e.shard.waiting || !a.current())
}

// Review is pipeline.Redirector's: what only reads is executed again, behind
// what was refused.
func (a *route) Review(_ *pipeline.Conn, r pipeline.Request) bool {
	if reads := a.conns.l.reads; reads == nil || !reads(r.Bytes) {
		return false
	}
	e := a.retryOf(r)
	if a.current() || e.shard.waiting {
		return e.park()
	}
	e.resend()
	return true
}

// Unsent is pipeline.Redirector's. What a server was not sent that has lost its
// shard goes behind what it was sent, which may still come back.
func (a *route) Unsent(_ *pipeline.Conn, err error, r pipeline.Request) bool {
	if e := pipeline.HandshakeRefusal(err); e != nil && e.Lasting() {
		return false // nothing is to be waited for
	}
	_, again := r.Receiver.(*retry)
	e := a.retryOf(r)
	e.err = err
	skip, asked := e.skip, e.asked
	e.skip, e.asked = 0, false
	if !a.unsent(e, again) {
		e.skip, e.asked = skip, asked // each reply that was due fails, ASKING's too
		return false
	}
	return true
}

// unsent has a request that was not sent wait, or sends it to the primary that there is
// now. It has come back before, or not. It reports false if its time is over.
func (a *route) unsent(e *retry, again bool) bool {
	if e.conns.l.loop.Now() >= e.until {
		return false // not by its hops: each refusal while a Cluster is down is one
	}
	moved := e.place()
	switch {
	case moved && !e.shard.waiting:
		e.send()
		return true
	case moved, a.current() && e.shard.held:
		return e.parkUnsent(again) // of one that is held, its connection was given up, see localShard.overtaken
	case a.current():
		return e.park()
	case e.shard.waiting:
		return e.parkUnsent(again)
	}
	e.resend()
	return true
}

// Down is pipeline.Redirector's. A server that refuses a database or a protocol
// does so to those who asked for it, and is none to wait for.
func (a *route) Down(_ *pipeline.Conn, err error) {
	if a.current() && !errors.Is(err, pipeline.ErrHandshake) {
		a.conns.l.shards[a.shard].wait()
	}
}

// Opened is pipeline.Redirector's.
func (a *route) Opened(*pipeline.Conn) {
	sh := a.conns.l.shards[a.shard]
	if a.current() && (sh.waiting || sh.spent) && !sh.passing && sh.refusal == nil {
		sh.recovered()
	}
}

// Succeeded is pipeline.Observer's.
func (a *route) Succeeded() {
	a.server.Succeeded()
	if a.current() {
		a.conns.l.shards[a.shard].spent = false
	}
}

// Failed is pipeline.Observer's.
func (a *route) Failed(err error) bool { return a.conns.observer(a.server).Failed(err) }

// Complained is pipeline.Observer's.
func (a *route) Complained(reply []byte) { a.server.Complained(reply) }

// RefusalKind is what a server says that has not executed a request and that
// another may execute, or the same one later.
type RefusalKind uint8

// The kinds of refusals (the texts are those of Redis 7.0, processCommand and
// getNodeByQuery).
const (
	NoRefusal   RefusalKind = iota
	Moved                   // -MOVED: the slot is another server's
	Ask                     // -ASK: the slot is on its way to another server
	TryAgain                // -TRYAGAIN: the keys are half here, half there
	ClusterDown             // -CLUSTERDOWN
	Demoted                 // -READONLY: a replica
	Loading                 // -LOADING
	MasterDown              // -MASTERDOWN: a replica that has lost its primary
)

var refusals = []struct {
	prefix string
	kind   RefusalKind
}{
	{"-MOVED ", Moved}, {"-ASK ", Ask}, {"-TRYAGAIN ", TryAgain}, {"-CLUSTERDOWN ", ClusterDown},
	{"-READONLY ", Demoted}, {"-LOADING ", Loading}, {"-MASTERDOWN ", MasterDown},
}

// RefusalOf tells what a reply refuses. What comes out of a script is no
// refusal, since the script may have written before; but not at a replica, which
// has refused whatever it wrote.
func RefusalOf(reply []byte) RefusalKind {
	for i := range refusals {
		if r := &refusals[i]; bytes.HasPrefix(reply, []byte(r.prefix)) {
			if r.kind != Demoted && bytes.Contains(reply, []byte(" script: ")) {
				return NoRefusal
			}
			return r.kind
		}
	}
	return NoRefusal
}

// refused sends a request on that its shard's server has refused with reply. It
// reports false if the reply is for the client.
func (l *Local) refused(sh *localShard, e *retry, reply []byte) bool {
	kind := RefusalOf(reply)
	e.hops++
	if kind == NoRefusal || e.hops > maxHops && kind <= Ask || l.loop.Now() >= e.until {
		return e.end()
	}
	e.why = append(e.why[:0], reply...)
	if e.marked && e.replies == 1 {
		return l.refusedScript(sh, e, reply)
	}
	switch kind {
	case Moved:
		return l.moved(sh, e, reply)
	case Ask:
		return l.ask(sh, e, reply)
	case TryAgain:
		l.later(e)
		return true
	case ClusterDown:
		l.suspect(sh, MovedSlot)
	case Demoted:
		l.suspect(sh, DemotedPrimary)
	}
	return e.park() || e.end()
}

// end lets the Receiver have the reply. A probe that ends so has found a server
// that will not have its requests.
func (e *retry) end() bool {
	if e.probe {
		e.probe, e.shard.probing = false, false
	}
	return false
}

// suspect tells the control plane, if there is one.
func (l *Local) suspect(sh *localShard, why Suspicion) {
	if l.watcher != nil && sh.primary != nil {
		l.watcher.Suspect(l.Pool, l.watched(sh.index), sh.primary.addr, why)
	}
}

// Unsettled tells whether a server of a Cluster has lately refused a request for
// several keys, since only some of them have come to it: such a request is tried
// again later, and what its client sends meanwhile must not overtake it.
func (l *Local) SawTryAgain() bool {
	return l.tornAt != 0 && l.loop.Now()-l.tornAt < int64(unsettledFor)
}

const unsettledFor = 5 * time.Second

// againAfter is how long a request waits that needs keys of a slot which is
// being moved.
const againAfter = 10 * time.Millisecond

// later sends a request again after a while. Others need not wait for it.
func (l *Local) later(e *retry) {
	if e.probe {
		e.shard.recovered()
		e.probe = false
	}
	l.tornAt = l.loop.Now()
	l.loop.NewTimer(e.resend).OwnedBy(e).After(againAfter)
}

// refusedScript is refused for a script or a module's command. What these reply is
// made by clients, so it is believed in Redis's own words alone, for this request
// alone, and only as far as it names a server that is known: nobody else waits,
// no slot moves, and no connection is made to where a client likes.
func (l *Local) refusedScript(sh *localShard, e *retry, reply []byte) bool {
	kind := RefusalOf(reply)
	if !InRedisWords(reply) || kind <= Ask && !l.Map().Slotted() {
		return e.end()
	}
	switch kind {
	case Moved, ClusterDown:
		l.suspect(sh, MovedSlot)
	case Demoted:
		l.suspect(sh, DemotedPrimary)
	}
	if sh.waiting && (!sh.passing || kind > Ask) {
		return e.park() || e.end()
	}
	e.end()
	if kind <= Ask {
		if to := l.knownTarget(sh, reply); to != nil {
			e.shard = to
			if kind == Ask {
				e.ask(e.conns.of(to.index)[e.conn])
			} else {
				e.send()
			}
			return true
		}
	}
	sh.retry(e)
	return true
}

// knownTarget returns the shard that a redirection names if its primary is known,
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

// ownWords are the texts of Redis's refusals (server.c and cluster.c of 7.0; the
// same since 2.8, where they are as old as that), less what a script's context
// adds. Valkey's differ by its name.
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

// InOwnWords tells whether a refusal is spelt as Redis spells it.
func InRedisWords(reply []byte) bool {
	text, _, _ := bytes.Cut(bytes.TrimSuffix(reply, []byte("\r\n")), []byte(" script: "))
	if _, ok := readRedirection(reply); ok {
		return len(bytes.Fields(text)) == 3
	}
	return slices.ContainsFunc(redisTexts, func(own []byte) bool { return bytes.Equal(text, own) })
}

// moved follows -MOVED: from now on the slot is the other server's.
func (l *Local) moved(from *localShard, e *retry, reply []byte) bool {
	r, ok := l.redirection(from, reply)
	if !ok {
		return e.end()
	}
	to := l.learn(r)
	l.suspect(from, MovedSlot)
	if e.probe {
		e.probe = false
		from.recovered()
	}
	e.shard, e.by = to, l.Map()
	if to.waiting && len(to.parked) > 0 {
		return e.park() || e.end() // behind those that came back before
	}
	e.send()
	return true
}

// ask follows -ASK, for this request alone.
func (l *Local) ask(from *localShard, e *retry, reply []byte) bool {
	r, ok := l.redirection(from, reply)
	if !ok {
		return e.end()
	}
	if e.probe {
		e.probe = false
		from.recovered()
	}
	to := l.learn(r)
	e.ask(e.conns.of(to.index)[e.conn])
	return true
}

// Redirect tells where a request is to be sent that has a connection to itself
// and that a shard has refused with reply: to which shard, whether behind ASKING,
// and after which time. A script's reply is believed as refusedScript does.
func (l *Local) Redirect(shard int, reply []byte, script bool) (to int, asking bool, wait time.Duration) {
	sh := l.shards[shard]
	r, ok := l.redirection(sh, reply)
	if !ok {
		if RefusalOf(reply) == Demoted {
			l.suspect(sh, DemotedPrimary)
		}
		return shard, false, retryEvery
	}
	if r.kind == Moved {
		l.suspect(sh, MovedSlot)
	}
	if script {
		if to := l.knownTarget(sh, reply); to != nil {
			return to.index, r.kind == Ask, 0
		}
		return shard, false, retryEvery
	}
	return l.learn(r).index, r.kind == Ask, 0
}
