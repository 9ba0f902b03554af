package pool

import (
	"slices"
	"time"

	"ringway/hashring"
)

// In a Cluster the shards are its primaries, numbered in the order in which they became
// known; an index is never reused. A loop that gets -MOVED changes the pool's Map (learn);
// what the control plane finds out completes it (SetCluster).

// newCluster makes the configured servers the first shards. Until more is known the first
// one gets the requests for all slots, and its -MOVED say where these are.
func (p *Pool) newCluster() {
	for _, s := range p.Conf().Servers {
		p.addShard("", s.Addr)
	}
	p.pendingMoves = map[int]uint16{}
	p.swapSlots(new([hashring.Slots]uint16))
}

// maxShards bounds how many primaries of a Cluster are known: some times the 1,000 nodes
// that Redis recommends as the most. Else a server that redirects to ever new addresses
// would take up the memory and time of the process.
const maxShards = 4096

// roomFor reports whether there is, or may be, a shard for a primary. The caller holds
// p.mu.
func (p *Pool) roomFor(id, addr string) bool {
	if len(p.shards) < maxShards || p.findShard(id, addr) != nil {
		return true
	}
	if !p.tooManyLogged {
		p.tooManyLogged = true
		p.log.Error("too many primaries: further ones are not followed; find the server that redirects to wrong addresses, then restart",
			"primaries", len(p.shards), "addr", addr)
	}
	return false
}

// addShard adds a primary. The caller holds p.mu, or is New.
func (p *Pool) addShard(id, addr string) *shard {
	sh := &shard{index: len(p.shards), id: id}
	sh.name = addr
	sh.serve(serving{primary: p.serverAt(addr, sh.index), readers: sh.serving.readers, refusal: sh.serving.refusal})
	p.shards = append(p.shards, sh)
	p.shardCount.Store(int32(len(p.shards)))
	return sh
}

// SetCluster sets all primaries of a Cluster and which slots each of them serves, in any
// order. A primary is known by its node ID. Slots that no primary serves stay where they
// were.
func (p *Pool) SetCluster(primaries []ClusterShard) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.pendingMoves) // the list is newer
	slots := *p.current.Load().slots
	listed := make([]bool, len(p.shards), len(p.shards)+len(primaries))
	for _, c := range primaries {
		if !p.roomFor(c.ID, c.Primary.Addr) {
			continue
		}
		sh := p.findShard(c.ID, c.Primary.Addr)
		if sh == nil {
			sh = p.addShard(c.ID, c.Primary.Addr)
			listed = append(listed, true)
		}
		sh.id, listed[sh.index] = c.ID, true
		for _, r := range c.Slots {
			for slot := int(r.First); slot <= int(r.Last); slot++ {
				slots[slot] = uint16(sh.index)
			}
		}
		sh.name = c.Primary.Addr
		p.setServing(sh, serving{primary: p.serverAt(sh.name, sh.index), readers: p.readers(sh.index, c.View)})
	}
	m := p.swapSlots(&slots)
	for i, sh := range p.shards {
		if !listed[i] && !m.Serves(i) {
			p.setServing(sh, serving{})
		}
	}
	p.followMap()
}

// setServing sets who serves a shard and makes the loops follow, if that is a change. The
// caller holds p.mu.
func (p *Pool) setServing(sh *shard, now serving) {
	if now.primary == sh.serving.primary && slices.Equal(now.readers, sh.serving.readers) {
		return
	}
	sh.serve(now)
	p.postServing(sh)
}

// findShard returns the shard of a primary, by its node ID or, while that is not known,
// by its address. Two shards may have one address, after a failover that -MOVED showed
// before the control plane knew of it; then it returns the one that the control plane
// knows. The caller holds p.mu.
func (p *Pool) findShard(id, addr string) *shard {
	var byAddr *shard
	for _, sh := range p.shards {
		if id != "" && sh.id == id {
			return sh
		}
		if sh.name == addr && (id == "" || sh.id == "") && (byAddr == nil || byAddr.id == "" || sh.id != "") {
			byAddr = sh
		}
	}
	return byAddr
}

// swapSlots installs a Map of those slots, if that is a change, and returns the one in
// force. The caller holds p.mu, or is New.
func (p *Pool) swapSlots(slots *[hashring.Slots]uint16) *Map {
	if m := p.current.Load(); m != nil && *slots == *m.slots {
		return m
	}
	m := slotMap(slots)
	p.current.Store(m)
	return m
}

// followMap makes every loop place keys by the Map in force. The caller holds p.mu.
func (p *Pool) followMap() {
	for _, l := range p.locals {
		l.loop.Post(l.takeMap)
	}
}

// takeMap makes this loop place keys by the Map in force, and moves subscriptions and
// parked requests to where that says. New requests for a shard wait until the requests in
// flight at a shard that had one of its slots before are answered.
func (l *Local) takeMap() {
	l.grow()
	old, m := l.taken, l.Pool.Map()
	if old == m {
		l.reassignParked() // the shards may have changed
		return
	}
	l.taken = m
	passed := map[[2]uint16]bool{}
	for slot, to := range m.slots {
		if from := old.slots[slot]; from != to && !passed[[2]uint16{from, to}] {
			passed[[2]uint16{from, to}] = true
			l.shards[to].awaitDrain(l.shards[from])
			l.shards[from].reassignScripts() // before new requests for the slot
		}
	}
	l.changes.MapChanged()
	l.reassignParked()
}

// reassignParked moves each parked request to the shard that owns its slot now, if that
// is another one. It is parked there too while that shard drains: the request that probes
// the server may be among these.
func (l *Local) reassignParked() {
	m := l.Map()
	for _, sh := range l.shards {
		if !sh.allHeld {
			continue
		}
		for _, of := range []func(*localShard) *retryLine{(*localShard).parkedLine, (*localShard).unsentLine} {
			all := *of(sh)
			*of(sh) = nil
			for _, rt := range all {
				if rt.reassign(); rt.shard.allHeld {
					of(rt.shard).add(rt)
				} else {
					rt.send()
				}
			}
		}
	}
	// Sessions wait for connections, not for slots: releasing these lets them look again.
	for _, sh := range l.shards {
		if sh.allHeld && !m.Serves(sh.index) {
			sh.releaseAll()
		}
	}
}

// learn returns the shard of the primary that a redirection names, as Local.redirection
// has read it. From now on the slot of a -MOVED belongs to that shard.
func (l *Local) learn(r redirection) *localShard {
	p := l.Pool
	p.mu.Lock()
	sh := p.findShard("", r.addr)
	if sh == nil {
		sh = p.addShard("", r.addr)
	}
	if sh.serving.primary == nil {
		sh.serve(serving{primary: p.serverAt(r.addr, sh.index), readers: sh.serving.readers, refusal: sh.serving.refusal})
		p.postServing(sh)
	}
	if r.kind == Moved {
		p.noteMove(r.slot, sh.index)
	}
	p.mu.Unlock()
	return l.shardAt(sh.index)
}

// noteMove gives a slot to a shard from the next Map on. The caller holds p.mu.
//
// A Map is 32 KiB, and each loop searches it for changes. A failover of thousands of slots
// that traffic notices first must not make one for each slot. So a goroutine makes the next
// Map, at most one in movesApart. Until then requests go to the old server, get -MOVED too,
// and go on from there in their order.
func (p *Pool) noteMove(slot, shard int) {
	if int(p.current.Load().slots[slot]) == shard {
		delete(p.pendingMoves, slot)
		return
	}
	p.pendingMoves[slot] = uint16(shard)
	if !p.installingMoves {
		p.installingMoves = true
		go p.installMoves()
	}
}

// movesApart is the least time between two Maps that are made for -MOVED.
const movesApart = 5 * time.Millisecond

// installMoves installs the next Map, and repeats that while there are moves.
func (p *Pool) installMoves() {
	if p.installOnce() {
		time.AfterFunc(movesApart, p.installMoves)
	}
}

// installOnce makes and installs one Map. It reports false if there was nothing to do.
func (p *Pool) installOnce() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pendingMoves) == 0 {
		p.installingMoves = false
		return false
	}
	was := p.current.Load()
	slots := *was.slots
	for slot, shard := range p.pendingMoves {
		slots[slot] = shard
	}
	clear(p.pendingMoves)
	if p.swapSlots(&slots) != was {
		p.followMap()
	}
	return true
}

// shardAt returns this loop's part of a shard that a Map names. The Map may name shards
// that this loop does not know yet.
func (l *Local) shardAt(shard int) *localShard {
	if shard >= len(l.shards) {
		l.grow()
	}
	return l.shards[shard]
}

// grow adds this loop's part of the shards that were added to the pool since.
func (l *Local) grow() {
	if int(l.shardCount.Load()) == len(l.shards) {
		return
	}
	l.mu.Lock()
	var fresh []*shard
	var servings []serving
	var acks []int
	for _, sh := range l.Pool.shards[min(len(l.shards), len(l.Pool.shards)):] {
		fresh = append(fresh, sh)
		servings = append(servings, sh.serving)
		acks = append(acks, sh.acks)
	}
	l.mu.Unlock()
	for i, sh := range fresh {
		l.addShard(sh.index, servings[i])
		if acks[i] > 0 {
			l.shards[sh.index].setReplicaAcks(acks[i])
		}
	}
}
