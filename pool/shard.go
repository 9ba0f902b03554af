package pool

import (
	"slices"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pipeline"
)

// shard is what a pool knows of one of its shards. Pool.mu guards it. In a static pool
// its primary is the server that was written down, and never changes: a server of another name or
// address is another shard.
type shard struct {
	index   int
	name    string
	id      string // in a Cluster: the primary's node ID; "" if it is known by its address alone
	serving serving
	since   time.Time // when its primary became the primary here; zero for what is written down

	lastPrimary *server   // that there was; nil before the first
	failovers   uint64    // how often another one took its place
	confirmedAt time.Time // when it last said that it is primary; zero for never
	acks        int       // how many replicas must acknowledge what replies are about; see SetReplicaAcks
	left        int       // of a static pool: the Pool.epoch in which it left the ring; 0 for one that is on it
}

// serve sets who serves the shard. The caller holds Pool.mu.
func (sh *shard) serve(now serving) {
	if now.primary != sh.serving.primary {
		sh.since = time.Now()
	}
	sh.serving = now
}

// leaving reports whether the shard is no longer in the configuration. The caller holds Pool.mu.
func (sh *shard) leaving() bool { return sh.left > 0 }

// serving is who serves a shard, as the loops are told.
type serving struct {
	primary *server   // nil if none is known
	readers []*server // that reads go to first
	refusal error     // that writes get at once; nil for none
}

// localShard is one loop's part of a shard.
//
// Where primaries change it is in one of these states. A static pool's shard is always in
// the first one: a server that is down there refuses requests at once, or leaves the ring.
//
//	state           what brings it about               what requests experience           what ends it
//	(fields)
//
//	serving         the start, and all below           they are sent to the primary       see the other rows
//	(none)
//
//	writes held     Pool.Hold: a failover of a         writes wait in their clients'      Release, SetView with the same primary, or
//	(writesHeld)    healthy primary has begun          sessions; reads go on              failover_wait has passed: serving. Another or no
//	                                                                                      primary, or no connection: as from "all held"
//
//	replies held    Pool.HoldReplies: a replica        as above, and what the primary     Hold: writes held. Release: serving.
//	(writesHeld,    may have been promoted             answers is not read                GiveUpReplies, or another primary: what is in
//	repliesHeldOn)                                                                        flight there fails, its outcome unknown
//
//	all held        no primary is known, no con-       new ones wait in their sessions;   the probe is executed, or a connection is made:
//	(allHeld)       nection can be made, or the        refused and unsent ones are        serving. Another primary: draining, or serving
//	                primary refuses requests           parked here. The first of these    if nothing is in flight at the old one. As well
//	                (-READONLY, -LOADING ...)          probes the server every 50 ms      for a slot that came meanwhile (drainUntil).
//	                                                                                      failover_wait has passed: failing
//
//	draining        another primary, or a slot of      all wait until what is in flight   all is answered: serving. After 100 ms, or 1 s if
//	(allHeld,       another shard, while requests      there is answered: it may come     that server still has other slots: serving, and
//	draining)       are in flight at the server        back refused, and came first       onLate is called
//	                that was responsible before
//
//	failing         failover_wait has passed in        sent if there is a connection,     a success, a connection, or another primary:
//	(failFast)      "all held"                         else they fail at once; a refusal  serving
//	                                                   is the client's reply
//
//	writes refused  SetView with View.Refuse: it       writes get that error at once,     the next SetView
//	(refusal)       is not certain who is primary      reads go on
//
// On every way to "serving" the parked requests are sent first, in their order. A session
// waits when its connection reports Full, which its gate makes it do (setGates).
type localShard struct {
	// Static after construction.
	l     *Local
	index int

	// Owned by the loop: see the table.
	serving
	writesHeld    bool
	repliesHeldOn []*pipeline.Conn // connections to the primary that are not read
	allHeld       bool
	draining      bool
	undrained     int   // draining: connections to earlier servers with requests in flight
	drainUntil    int64 // all held: until when these are waited for, as eventloop.Loop.Now; 0 if they are not
	failFast      bool
	removed       bool  // of a static pool: the configuration no longer has its server, and nothing is under way there
	heldUntil     int64 // when holding ends, as eventloop.Loop.Now
	heldSince     int64 // when new requests began to wait, as eventloop.Loop.Now; 0 if they do not
	timer         *eventloop.Timer

	// Owned by the loop: requests that wait here.
	parked       retryLine
	parkedUnsent retryLine // never sent: they go behind all that were, and may yet come back
	probe        *retry    // the first of the parked requests, sent to try the server; nil if none was

	// Owned by the loop: scripts that were refused while nothing else waits.
	scriptRetries []*retry
	scriptTimer   *eventloop.Timer

	// Owned by the loop: see replicaacks.go.
	acks  int    // how many replicas must acknowledge
	acker *acker // asks them; nil if replies do not wait, or there is no primary
}

// ErrNoPrimary is why requests fail that have waited for a primary for failover_wait.
var ErrNoPrimary error = pipeline.Refusal("ERR no primary is known: the request was not sent")

// postServing makes every loop follow a shard's state. The caller holds p.mu, so that all
// loops get the changes in one order.
func (p *Pool) postServing(sh *shard) {
	i, now := sh.index, sh.serving
	for _, l := range p.locals {
		l.loop.Post(func() {
			l.grow()
			l.shards[i].follow(now)
		})
	}
}

// SetView sets who serves a shard. The control plane must be certain: the primary said so
// itself, and no newer one is known. Where the primary changes, the old one may still
// answer requests that were written to it, gets no further ones, and those not yet
// written go to the new one. It also ends Hold and HoldReplies.
func (p *Pool) SetView(shard int, v View) {
	p.mu.Lock()
	sh := p.shards[shard]
	was := sh.serving
	now, name := serving{primary: p.serverAt(v.Primary.Addr, sh.index), readers: p.readers(sh.index, v)}, sh.name
	if v.Refuse != "" {
		now.refusal = pipeline.Refusal(v.Refuse)
	}
	sh.serve(now)
	if now.primary != nil {
		if sh.lastPrimary != nil && sh.lastPrimary != now.primary {
			sh.failovers++
		}
		sh.lastPrimary = now.primary
	}
	p.postServing(sh)
	p.mu.Unlock()
	switch {
	case now.primary == was.primary:
	case was.primary == nil:
		p.log.Info("primary found", "shard", name, "addr", v.Primary.Addr)
	case now.primary == nil:
		p.log.Warn("no primary: requests wait for one, and fail after failover_wait", "shard", name, "was", was.primary.addr)
	default:
		p.log.Warn("primary changed", "shard", name, "addr", v.Primary.Addr, "was", was.primary.addr)
	}
}

// SetReplicas changes which replicas of a shard are read, and nothing else.
func (p *Pool) SetReplicas(shard int, replicas []Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sh := p.shards[shard]
	v := View{Replicas: replicas}
	if sh.serving.primary != nil {
		v.Primary = Member{Addr: sh.serving.primary.addr, Zone: p.Conf().ZoneOf(sh.serving.primary.addr)}
	}
	readers := p.readers(shard, v)
	if slices.Equal(readers, sh.serving.readers) {
		return
	}
	sh.serving.readers = readers
	for _, l := range p.locals {
		l.loop.Post(func() {
			l.shards[shard].readers = readers
			for _, cs := range l.connSets {
				cs.connectReaders(l.shards[shard])
			}
		})
	}
}

// Hold makes new writes to a shard wait until SetView or Release, for failover_wait at
// most; then they go where they went before. It is for the time in which a primary is
// about to be replaced and still accepts writes that will be lost. Replies are no longer
// held.
func (p *Pool) Hold(shard int) {
	p.eachLocal(func(l *Local) {
		l.shards[shard].releaseReplies()
		l.shards[shard].holdWrites()
	})
}

// Release ends Hold and HoldReplies and changes nothing else: the failover was called
// off.
func (p *Pool) Release(shard int) {
	p.eachLocal(func(l *Local) { l.shards[shard].releaseWrites() })
}

// eachLocal runs fn on each loop, soon.
func (p *Pool) eachLocal(fn func(l *Local)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.locals {
		l.loop.Post(func() { fn(l) })
	}
}

// readers returns the servers that reads of a shard go to first: the best ones, of which
// each client keeps to one. If there are none, reads go to the primary.
func (p *Pool) readers(shard int, v View) (readers []*server) {
	members := slices.Clone(v.Replicas)
	switch p.Conf().ReadFrom {
	case conf.ReadPreferReplica, conf.ReadReplica:
	case conf.ReadLowestLatency:
		members = nearest(append(members, v.Primary))
	case conf.ReadZone:
		members = slices.DeleteFunc(append(members, v.Primary), func(m Member) bool { return m.Zone != p.Proxy().Zone })
	default:
		return nil
	}
	for _, m := range members {
		if s := p.serverAt(m.Addr, shard); s != nil {
			readers = append(readers, s)
		}
	}
	return readers
}

// nearest returns the members whose latency is close to the lowest one.
func nearest(members []Member) []Member {
	const near = 200 * time.Microsecond
	least := time.Duration(0)
	for _, m := range members {
		if m.Latency > 0 && (least == 0 || m.Latency < least) {
			least = m.Latency
		}
	}
	return slices.DeleteFunc(members, func(m Member) bool { return m.Latency == 0 || m.Latency > least+least/4+near })
}

// follow applies what the control plane has said of the shard.
func (sh *localShard) follow(now serving) {
	was := sh.serving
	changed := was.primary != now.primary || was.refusal != now.refusal || now.primary == nil
	if changed {
		sh.giveUpReplies()
	}
	sh.serving = now
	if !changed {
		sh.releaseWrites()
		for _, cs := range sh.l.connSets {
			cs.connectReaders(sh)
		}
		return
	}
	heldAlready := sh.allHeld && !sh.draining
	sh.failFast, sh.writesHeld, sh.draining = false, false, false
	sh.allHeld = true // so that what the old connections give back is parked
	sh.parkScripts()
	var retired []*pipeline.Conn
	for _, cs := range sh.l.connSets {
		retired = append(retired, cs.connectPrimary(sh)...)
		cs.connectReaders(sh)
	}
	if was.primary != now.primary {
		sh.l.retireDedicated(was.primary, sh)
		sh.setReplicaAcks(sh.acks)
	}
	sh.countUndrained(retired)
	switch {
	case now.primary == nil && now.refusal == nil && heldAlready:
		// It goes on waiting, with the time that is left.
	case now.primary == nil && now.refusal == nil:
		sh.allHeld = false
		sh.holdAll()
	case sh.undrained > 0:
		sh.holdForDrain(lostDrainTime)
	default:
		sh.releaseAll()
	}
}

// retireDedicated ends the dedicated connections to a server that has lost its shard, and
// makes subscriptions follow the shard.
func (l *Local) retireDedicated(old *server, sh *localShard) {
	for c, k := range l.lent {
		if k.endpoint.server == old {
			l.retireLent(c, k)
		}
	}
	l.closeSpares(func(k dedicatedKey, _ spare) bool { return k.server == old })
	l.changes.PrimaryChanged(sh.index)
}

// holdWrites begins "writes held".
func (sh *localShard) holdWrites() {
	if sh.allHeld || sh.failFast {
		return // they wait already, or fail
	}
	sh.writesHeld = true
	sh.heldUntil = sh.l.loop.Now() + int64(sh.l.Conf().FailoverWait)
	sh.timer.Reset(sh.heldUntil)
	sh.setGates()
	if sh.acker != nil {
		sh.acker.writesHeld()
	}
}

// releaseWrites ends "writes held" and "replies held".
func (sh *localShard) releaseWrites() {
	if !sh.writesHeld {
		return
	}
	sh.releaseReplies()
	sh.writesHeld = false
	sh.timer.Stop()
	for _, rt := range sh.takeParked() { // those that giveUpReplies got back unsent
		rt.resend()
	}
	if !sh.allHeld {
		sh.setGates()
	}
}

// gate returns which requests the connections to the primary accept.
func (sh *localShard) gate() pipeline.Gate {
	switch {
	case sh.allHeld, len(sh.parked)+len(sh.parkedUnsent) > 0: // nothing overtakes what waits here
		return pipeline.Shut
	case sh.writesHeld:
		return pipeline.ReadsOnly
	}
	return pipeline.Open
}

// setGates opens or shuts the connections to the primary.
func (sh *localShard) setGates() {
	sh.noteGate()
	gate := sh.gate()
	for _, cs := range sh.l.connSets {
		for _, c := range cs.primaryConns[sh.index*cs.width:][:cs.width] {
			c.SetGate(gate)
		}
	}
}

// retryEvery is how often the first of the parked requests is sent to find out whether
// the server executes requests again.
const retryEvery = 50 * time.Millisecond

// holdAll begins "all held", for failover_wait at most.
func (sh *localShard) holdAll() {
	if sh.allHeld || sh.failFast {
		return
	}
	sh.giveUpReplies()
	sh.setMustWait(false)
	sh.allHeld, sh.writesHeld = true, false
	sh.heldUntil = sh.l.loop.Now() + int64(sh.l.Conf().FailoverWait)
	sh.timer.After(min(retryEvery, sh.l.Conf().FailoverWait))
	sh.setGates()
}

// tick is the timer's: it ends holding when its time has passed, and sends the probe.
func (sh *localShard) tick() {
	switch now := sh.l.loop.Now(); {
	case sh.writesHeld:
		sh.releaseWrites()
		return
	case !sh.allHeld:
		return
	case now >= sh.heldUntil && sh.draining:
		sh.l.onLate() // the earlier server may hang; this shard goes on
		sh.releaseAll()
		return
	case now >= sh.heldUntil:
		sh.failParked()
		return
	case sh.draining:
		sh.timer.Reset(sh.heldUntil)
		return
	}
	sh.timer.After(retryEvery)
	if sh.probe != nil || sh.primary == nil || sh.awaitsDrain() {
		return
	}
	line := &sh.parked
	if len(*line) == 0 {
		line = &sh.parkedUnsent
	}
	if len(*line) == 0 {
		return
	}
	rt := (*line)[0]
	if c := rt.conns.connsTo(sh.index)[rt.conn]; c.Up() {
		*line = (*line)[1:]
		sh.probe = rt
		rt.send()
	}
}

// releaseAll ends "all held", "draining" and "failing": the parked requests are sent in
// their order, before any other.
func (sh *localShard) releaseAll() {
	sh.probe, sh.draining = nil, false
	if wait := sh.drainUntil - sh.l.loop.Now(); sh.allHeld && sh.undrained > 0 && wait > 0 {
		sh.holdForDrain(time.Duration(wait))
		return
	}
	sh.drainUntil = 0
	sh.timer.Stop()
	parked := sh.takeParked()
	wasHeld := sh.allHeld
	sh.allHeld, sh.failFast = false, false
	for _, rt := range parked {
		rt.resend()
	}
	if wasHeld && sh.allHeld {
		return // sending showed that the primary is down again
	}
	sh.setGates()
}

// parkedLine and unsentLine return the two lines, for reassignParked.
func (sh *localShard) parkedLine() *retryLine { return &sh.parked }
func (sh *localShard) unsentLine() *retryLine { return &sh.parkedUnsent }

// takeParked removes and returns the parked requests, in their order.
func (sh *localShard) takeParked() (parked []*retry) {
	parked = append(sh.parked, sh.parkedUnsent...)
	sh.parked, sh.parkedUnsent = nil, nil
	for _, rt := range parked {
		rt.number = sh.l.nextNumber()
	}
	return parked
}

// failParked fails the parked requests and begins "failing".
func (sh *localShard) failParked() {
	sh.allHeld, sh.failFast, sh.probe, sh.draining, sh.drainUntil = false, true, nil, false, 0
	parked := sh.takeParked()
	sh.setGates()
	for _, rt := range parked {
		rt.giveUp()
	}
}
