package pool

import (
	"slices"
	"time"

	"ringway/hashring"
)

// In a Cluster the shards are its primaries, numbered as they were met: an index
// is never given to another. A loop that meets -MOVED has the pool's Map changed;
// what the control plane finds out completes it.

// newCluster makes the seeds the first shards. The first one is asked for all
// slots, and tells where they are.
func (p *Pool) newCluster() {
	for _, s := range p.conf.Servers {
		p.addShard("", s.Addr)
	}
	p.moves = map[int]uint16{}
	p.swapSlots(new([hashring.Slots]uint16))
}

// maxShards is how many primaries of a Cluster may be met, some times what Redis
// recommends as the most (1,000 nodes): a server that redirects to one address after the
// other shall not take the memory and time of the process.
const maxShards = 4096

// roomFor reports whether there is a shard for a primary, or may be one. The caller
// holds p.mu.
func (p *Pool) roomFor(id, addr string) bool {
	if len(p.shards) < maxShards || p.findShard(id, addr) != nil {
		return true
	}
	if !p.crowded {
		p.crowded = true
		p.log.Error("too many primaries were met: no other is followed; restart, and see whether a server redirects to addresses that are none",
			"primaries", len(p.shards), "addr", addr)
	}
	return false
}

// addShard makes a primary known. The caller holds p.mu, or has the pool to
// itself.
func (p *Pool) addShard(id, addr string) *shard {
	sh := &shard{index: len(p.shards), id: id}
	sh.name, sh.told.primary = addr, p.serverAt(addr, sh.index)
	p.shards = append(p.shards, sh)
	p.met.Store(int32(len(p.shards)))
	return sh
}

// SetCluster tells a pool of topology "cluster" all primaries of the Cluster and
// which slots each of them serves, in any order: a primary is known by its ID.
// Slots that nobody serves stay with whom they were.
func (p *Pool) SetCluster(primaries []ClusterShard) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.moves) // they are older
	slots := *p.m.Load().slots
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
		p.tell(sh, told{primary: p.serverAt(sh.name, sh.index), readers: p.readers(sh.index, c.View)})
	}
	m := p.swapSlots(&slots)
	for i, sh := range p.shards {
		if !listed[i] && !m.Serves(i) {
			p.tell(sh, told{})
		}
	}
	p.followMap()
}

// tell has the loops follow, if there is news. The caller holds p.mu.
func (p *Pool) tell(sh *shard, t told) {
	if t.primary == sh.told.primary && slices.Equal(t.readers, sh.told.readers) {
		return
	}
	sh.told = t
	p.tellLoops(sh)
}

// findShard returns the shard of a primary, by its ID or, while that is not
// known, its address. Of two with one address, as a failover leaves them that -MOVED told
// of first, it is the one that the control plane knows. The caller holds p.mu.
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

// swapSlots installs a Map, if it is another, and returns the one in force. The
// caller holds p.mu.
func (p *Pool) swapSlots(slots *[hashring.Slots]uint16) *Map {
	if m := p.m.Load(); m != nil && *slots == *m.slots {
		return m
	}
	m := slotMap(slots)
	p.m.Store(m)
	return m
}

// followMap has every loop place keys by the Map in force. The caller holds p.mu.
func (p *Pool) followMap() {
	for _, l := range p.locals {
		l.loop.Post(l.takeMap)
	}
}

// takeMap has this loop place keys by the Map in force, and all that it keeps go
// where that says: subscriptions to channels, and requests that wait. New
// requests for a shard wait until those that are under way to the one which had
// a slot of it before are answered.
func (l *Local) takeMap() {
	l.grow()
	old, m := l.placing, l.Pool.Map()
	if old == m {
		l.replace() // the shards may have changed
		return
	}
	l.placing = m
	passed := map[[2]uint16]bool{}
	for slot, to := range m.slots {
		if from := old.slots[slot]; from != to && !passed[[2]uint16{from, to}] {
			passed[[2]uint16{from, to}] = true
			l.shards[to].letPass(l.shards[from])
		}
	}
	l.changes.MapChanged()
	l.replace()
}

// replace has the requests that wait for a shard go to the one that owns their slot now,
// if that is another. There they wait too if it lets others pass: the one that tries the
// server may be among these.
func (l *Local) replace() {
	m := l.Map()
	for _, sh := range l.shards {
		if !sh.waiting {
			continue
		}
		for _, of := range []func(*localShard) *line{(*localShard).first, (*localShard).last} {
			all := *of(sh)
			*of(sh) = nil
			for _, e := range all {
				if e.place(); e.shard.waiting {
					of(e.shard).add(e)
				} else {
					e.send()
				}
			}
		}
	}
	// Sessions wait for connections, not for slots: they look again.
	for _, sh := range l.shards {
		if sh.waiting && !m.Serves(sh.index) {
			sh.recovered()
		}
	}
}

// learn returns the shard of the primary that a redirection names, as Local.redirection
// has read it. The slot of -MOVED belongs to it from now on.
func (l *Local) learn(r redirection) *localShard {
	p := l.Pool
	p.mu.Lock()
	sh := p.findShard("", r.addr)
	if sh == nil {
		sh = p.addShard("", r.addr)
	}
	if sh.told.primary == nil {
		sh.told.primary = p.serverAt(r.addr, sh.index)
		p.tellLoops(sh)
	}
	if r.kind == Moved {
		p.noteMove(r.slot, sh.index)
	}
	p.mu.Unlock()
	return l.shardAt(sh.index)
}

// noteMove has a slot belong to a shard from the next Map on. The caller holds
// p.mu.
//
// A Map is 32 KiB, and each loop looks for what has changed in it, so a failover
// that traffic meets first, of thousands of slots, must not make one for each. It
// is made on a goroutine of its own, and not more often than every movesApart. Until then requests go where they went, are
// told -MOVED too, and go on from there in their order.
func (p *Pool) noteMove(slot, shard int) {
	if int(p.m.Load().slots[slot]) == shard {
		delete(p.moves, slot)
		return
	}
	p.moves[slot] = uint16(shard)
	if !p.moving {
		p.moving = true
		go p.installMoves()
	}
}

// movesApart is the least time between two Maps that follow -MOVED.
const movesApart = 5 * time.Millisecond

// installMoves installs the next Map, and comes again while there are moves.
func (p *Pool) installMoves() {
	if p.installOnce() {
		time.AfterFunc(movesApart, p.installMoves)
	}
}

// installOnce makes and installs one Map. It reports false if there was nothing to
// do.
func (p *Pool) installOnce() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.moves) == 0 {
		p.moving = false
		return false
	}
	was := p.m.Load()
	slots := *was.slots
	for slot, shard := range p.moves {
		slots[slot] = shard
	}
	clear(p.moves)
	if p.swapSlots(&slots) != was {
		p.followMap()
	}
	return true
}

// shardAt returns this loop's part of a shard that a Map names: the Map may be
// ahead of what the loop has heard.
func (l *Local) shardAt(shard int) *localShard {
	if shard >= len(l.shards) {
		l.grow()
	}
	return l.shards[shard]
}

// grow makes this loop's part of the shards that were met since.
func (l *Local) grow() {
	if int(l.met.Load()) == len(l.shards) {
		return
	}
	l.mu.Lock()
	var fresh []*shard
	var tolds []told
	for _, sh := range l.Pool.shards[min(len(l.shards), len(l.Pool.shards)):] {
		fresh = append(fresh, sh)
		tolds = append(tolds, sh.told)
	}
	l.mu.Unlock()
	for i, sh := range fresh {
		l.addShard(sh.index, tolds[i])
	}
}
