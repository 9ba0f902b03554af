package pool

import (
	"slices"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pipeline"
)

// shard is what a pool knows about one of its shards, guarded by Pool.mu. In a static pool
// its primary is the server that was written down, and stays that.
type shard struct {
	index int
	name  string
	id    string // in a Cluster: the primary's node ID; "" if it is known by its address alone
	told  told
}

// told is what the loops are told of a shard.
type told struct {
	primary *server   // nil: none is known
	readers []*server // that reads go to first
	refusal error     // that writes get; nil if there is none
}

// localShard is one loop's part of a shard.
type localShard struct {
	l     *Local
	index int
	told

	held    bool             // writes wait, since the primary is about to change
	muted   []*pipeline.Conn // connections to the primary whose replies are held, too
	waiting bool             // everything waits, since the primary can't serve now, or while passing
	passing bool             // new requests let those pass that an earlier server has yet to answer
	until   int64
	spent   bool // it has waited in vain: until something changes, requests fail at once
	parked  line
	behind  line // those that go behind all that may come to be parked
	probing bool // the first of those that were parked is on its way to try the server
	timer   *eventloop.Timer

	retries    []*retry // scripts that were refused while nothing waits
	retryTimer *eventloop.Timer

	draining int // connections to earlier servers with requests under way
}

// ErrNoPrimary is the cause of failures of requests that have waited in vain for
// a primary.
var ErrNoPrimary error = pipeline.Refusal("ERR no primary is known: the request was not sent")

// tellLoops has every loop follow what a shard has come to. The caller holds
// p.mu, so that all loops hear of the changes in their order.
func (p *Pool) tellLoops(sh *shard) {
	i, t := sh.index, sh.told
	for _, l := range p.locals {
		l.loop.Post(func() {
			l.grow()
			l.shards[i].follow(t)
		})
	}
}

// SetView tells who serves a shard. The control plane has made sure of it: the
// primary said so itself, and nobody newer is known. Where the primary changes,
// requests that were written to the old one may still be answered by it, no
// further one is written to it, and those not yet written go to the new one. It
// also ends Hold.
func (p *Pool) SetView(shard int, v View) {
	p.mu.Lock()
	sh := p.shards[shard]
	was := sh.told
	sh.told = told{primary: p.serverAt(v.Primary.Addr, sh.index), readers: p.readers(sh.index, v)}
	if v.Refuse != "" {
		sh.told.refusal = pipeline.Refusal(v.Refuse)
	}
	now, name := sh.told, sh.name
	p.tellLoops(sh)
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

// SetReplicas changes which replicas of a shard may be read, and no more.
func (p *Pool) SetReplicas(shard int, replicas []Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sh := p.shards[shard]
	v := View{Replicas: replicas}
	if sh.told.primary != nil {
		v.Primary = Member{Addr: sh.told.primary.addr, Zone: p.conf.ZoneOf(sh.told.primary.addr)}
	}
	readers := p.readers(shard, v)
	if slices.Equal(readers, sh.told.readers) {
		return
	}
	sh.told.readers = readers
	for _, l := range p.locals {
		l.loop.Post(func() {
			l.shards[shard].readers = readers
			for _, n := range l.shared {
				n.aimReads(l.shards[shard])
			}
		})
	}
}

// Hold has new writes to a shard wait until SetView or Unhold, and for
// failover_wait at most, after which they go where they went before. It is for
// the time in which a primary is about to be replaced and still takes writes
// that will be lost.
func (p *Pool) Hold(shard int) {
	p.eachLocal(func(l *Local) {
		l.shards[shard].release()
		l.shards[shard].hold()
	})
}

// Unhold ends Hold and leaves everything as it was: the failover was called off.
func (p *Pool) Release(shard int) {
	p.eachLocal(func(l *Local) { l.shards[shard].unhold() })
}

func (p *Pool) eachLocal(fn func(l *Local)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.locals {
		l.loop.Post(func() { fn(l) })
	}
}

// readers lists the servers that reads of a shard go to first: the best ones, of
// which each client keeps to one. With none, reads go to the primary.
func (p *Pool) readers(shard int, v View) (readers []*server) {
	members := slices.Clone(v.Replicas)
	switch p.conf.ReadFrom {
	case conf.ReadPreferReplica, conf.ReadReplica:
	case conf.ReadLowestLatency:
		members = nearest(append(members, v.Primary))
	case conf.ReadZone:
		members = slices.DeleteFunc(append(members, v.Primary), func(m Member) bool { return m.Zone != p.proxy.Zone })
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

// nearest leaves the members whose latency is near the least.
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

// follow takes what the control plane has told.
func (sh *localShard) follow(t told) {
	old := sh.told
	news := old.primary != t.primary || old.refusal != t.refusal || t.primary == nil
	if news {
		sh.overtaken()
	}
	sh.told = t
	if !news {
		sh.unhold()
		for _, n := range sh.l.shared {
			n.aimReads(sh)
		}
		return
	}
	waited := sh.waiting && !sh.passing
	sh.spent, sh.held, sh.passing = false, false, false
	sh.waiting = true // so that what the old connections give back is parked
	sh.parkRetries()
	var retired []*pipeline.Conn
	for _, n := range sh.l.shared {
		retired = append(retired, n.aim(sh)...)
		n.aimReads(sh)
	}
	if old.primary != t.primary {
		sh.l.leave(old.primary, sh)
	}
	sh.underWay(retired)
	switch {
	case t.primary == nil && t.refusal == nil && waited:
		// It goes on.
	case t.primary == nil && t.refusal == nil:
		sh.waiting = false
		sh.wait()
	case sh.draining > 0:
		sh.letPassFor(lastWait)
	default:
		sh.recovered()
	}
}

// leave ends the connections that clients have to themselves to a server that
// has lost its shard, and has subscriptions follow.
func (l *Local) leave(old *server, sh *localShard) {
	for c, k := range l.lent {
		if k.link.server == old {
			l.endLent(c, k)
		}
	}
	l.closeSpares(func(k dedicatedKey, _ spare) bool { return k.server == old })
	l.changes.PrimaryChanged(sh.index)
}

// hold has writes wait.
func (sh *localShard) hold() {
	if sh.waiting || sh.spent {
		return // they do, or are refused
	}
	sh.held = true
	sh.until = sh.l.loop.Now() + int64(sh.l.conf.FailoverWait)
	sh.timer.Reset(sh.until)
	sh.setGates()
}

// unhold ends hold.
func (sh *localShard) unhold() {
	if !sh.held {
		return
	}
	sh.release()
	sh.held = false
	sh.timer.Stop()
	for _, e := range sh.takeParked() { // what overtaken has left
		e.resend()
	}
	if !sh.waiting {
		sh.setGates()
	}
}

// gate is what the connections to the primary may take.
func (sh *localShard) gate() pipeline.Gate {
	switch {
	case sh.waiting:
		return pipeline.Shut
	case sh.held:
		return pipeline.ReadsOnly
	}
	return pipeline.Open
}

// setGates opens and shuts the connections to the primary.
func (sh *localShard) setGates() {
	gate := sh.gate()
	for _, n := range sh.l.shared {
		for _, c := range n.fallback[sh.index*n.width:][:n.width] {
			c.SetGate(gate)
		}
	}
}

// retryEvery is how often the first of the requests that wait is sent to see
// whether the server executes requests again.
const retryEvery = 50 * time.Millisecond

// wait has everything wait for the shard's primary, for failover_wait at most.
func (sh *localShard) wait() {
	if sh.waiting || sh.spent {
		return
	}
	sh.overtaken()
	sh.waiting, sh.held = true, false
	sh.until = sh.l.loop.Now() + int64(sh.l.conf.FailoverWait)
	sh.timer.After(min(retryEvery, sh.l.conf.FailoverWait))
	sh.setGates()
}

// tick is called now and then while the shard waits, and at the end of hold.
func (sh *localShard) tick() {
	switch now := sh.l.loop.Now(); {
	case sh.held:
		sh.unhold()
		return
	case !sh.waiting:
		return
	case now >= sh.until && sh.passing:
		sh.l.onLate() // that server hangs; this one need not
		sh.recovered()
		return
	case now >= sh.until:
		sh.giveUp()
		return
	case sh.passing:
		sh.timer.Reset(sh.until)
		return
	}
	sh.timer.After(retryEvery)
	if sh.probing || sh.primary == nil {
		return
	}
	line := &sh.parked
	if len(*line) == 0 {
		line = &sh.behind
	}
	if len(*line) == 0 {
		return
	}
	e := (*line)[0]
	if c := e.conns.of(sh.index)[e.conn]; c.Up() {
		*line = (*line)[1:]
		sh.probing = true
		e.probe = true
		e.send()
	}
}

// recovered ends wait: the requests that were parked are sent in their order,
// before any other.
func (sh *localShard) recovered() {
	sh.probing, sh.passing = false, false
	sh.timer.Stop()
	parked := sh.takeParked()
	wasWaiting := sh.waiting
	sh.waiting, sh.spent = false, false
	for _, e := range parked {
		e.resend()
	}
	if wasWaiting && sh.waiting {
		return // it is down again
	}
	sh.setGates()
}

// first and last are the lines of requests that wait.
func (sh *localShard) first() *line { return &sh.parked }
func (sh *localShard) last() *line  { return &sh.behind }

// takeParked takes the requests that were parked, in their order.
func (sh *localShard) takeParked() (parked []*retry) {
	parked = append(sh.parked, sh.behind...)
	sh.parked, sh.behind = nil, nil
	for _, e := range parked {
		e.number = sh.l.nextNumber()
	}
	return parked
}

// giveUp fails the requests that were parked. From here on requests fail at
// once, until something changes.
func (sh *localShard) giveUp() {
	sh.waiting, sh.spent, sh.probing, sh.passing = false, true, false, false
	parked := sh.takeParked()
	sh.setGates()
	for _, e := range parked {
		e.giveUp()
	}
}
