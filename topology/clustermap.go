package topology

import (
	"cmp"
	"maps"
	"slices"

	"ringway/pool"
)

// A clusterMap is what is believed of a Cluster: who owns each slot and since which epoch, and
// its servers. It is not modified once made. The zero value knows nothing.
type clusterMap struct {
	claims  [clusterSlots]claim
	servers map[string]clusterServer    // by ID
	shards  map[string][]pool.SlotRange // by the primary's ID, primaries without slots included
}

// A claim is a server's right to a slot. Of two, Redis Cluster itself honours the one with the
// higher configuration epoch, and so does the map: a server that has missed a failover can't
// turn it back.
type claim struct {
	owner string // the server's ID; "" if nobody owns the slot
	epoch int64
}

// merge returns the map that follows from m and from the views of servers, one of each.
//
// A claim with a higher epoch wins, as in the Cluster itself. One with a lower epoch than the
// current claim's needs the votes of more than half of members, the number of servers in the
// Cluster, or the former owner's own word: a slot that was given away may be claimed with a
// lower epoch for a moment. Slots with neither are undecided; they keep their
// owner, and the caller asks more servers.
func (m *clusterMap) merge(views []*clusterView, members int) (next *clusterMap, undecided int) {
	next = &clusterMap{claims: m.claims}
	seen := newClaims(views)
	for s := range next.claims {
		current := &next.claims[s]
		best, votes := seen.best(s, current.owner)
		switch {
		case best.owner == "":
			continue
		case current.owner == "", best.owner == current.owner, best.epoch > current.epoch, seen.disowned(s, current.owner):
		case votes > members/2:
		default:
			undecided++
			continue
		}
		*current = best
	}
	next.servers = m.mergeServers(views, next)
	next.group()
	return next, undecided
}

// claims are the claims that servers see, for each server and slot.
type claims struct {
	views [][clusterSlots]claim
	own   map[string]int // the index of a server's own view, by its ID
}

func newClaims(views []*clusterView) *claims {
	c := &claims{views: make([][clusterSlots]claim, len(views)), own: map[string]int{}}
	for i, v := range views {
		if v.self != "" {
			c.own[v.self] = i
		}
		for id, ranges := range v.slots {
			for _, r := range ranges {
				for s := int(r.First); s <= int(r.Last); s++ {
					c.views[i][s] = claim{id, v.servers[id].epoch}
				}
			}
		}
	}
	return c
}

// disowned reports whether a server says itself that a slot is not its own. Servers that say
// it is have not heard of that yet.
func (c *claims) disowned(slot int, owner string) bool {
	i, asked := c.own[owner]
	return asked && c.views[i][slot].owner != owner
}

// best returns the claim to a slot with the highest epoch, and how many servers see it.
// Between two with the same epoch, which happens only where epochs are not told, more servers
// decide, and then the current owner.
func (c *claims) best(slot int, owner string) (best claim, votes int) {
	for i := range c.views {
		seen := c.views[i][slot]
		if seen.owner == "" || seen == best || c.disowned(slot, seen.owner) {
			continue
		}
		n := 0
		for j := range c.views {
			if c.views[j][slot] == seen {
				n++
			}
		}
		better := cmp.Or(cmp.Compare(seen.epoch, best.epoch), cmp.Compare(n, votes))
		if best.owner == "" || better > 0 || better == 0 && seen.owner == owner {
			best, votes = seen, n
		}
	}
	return best, votes
}

// mergeServers returns all servers that a view mentions or that own a slot. A view without any
// slot is ignored: that server was removed from the Cluster and knows only itself.
func (m *clusterMap) mergeServers(views []*clusterView, next *clusterMap) map[string]clusterServer {
	views = slices.DeleteFunc(slices.Clone(views), func(v *clusterView) bool { return v.covered() == 0 })
	if len(views) == 0 {
		return m.servers
	}
	servers := map[string]clusterServer{}
	for s := range next.claims {
		owner := next.claims[s].owner
		if n, known := m.servers[owner]; known {
			servers[owner] = n
		}
	}
	slices.SortStableFunc(views, func(a, b *clusterView) int { return cmp.Compare(a.epoch, b.epoch) })
	for _, v := range views { // the newest last, which overwrites
		for id, n := range v.servers {
			if old, known := servers[id]; known && old.epoch > n.epoch && n.epoch != 0 {
				continue
			}
			servers[id] = n
		}
	}
	return servers
}

// group fills shards from claims and servers. A healthy primary without slots counts: slots
// may be about to move to it, and -ASK names it before they have.
func (m *clusterMap) group() {
	m.shards = map[string][]pool.SlotRange{}
	for id, n := range m.servers {
		if n.primary == "" && n.healthy {
			m.shards[id] = nil
		}
	}
	for first := 0; first < clusterSlots; {
		owner, last := m.claims[first].owner, first
		for last+1 < clusterSlots && m.claims[last+1].owner == owner {
			last++
		}
		if _, known := m.servers[owner]; known {
			m.shards[owner] = append(m.shards[owner], pool.SlotRange{First: uint16(first), Last: uint16(last)})
		}
		first = last + 1
	}
}

// agrees reports whether a view says nothing new.
func (m *clusterMap) agrees(v *clusterView) bool {
	if !maps.Equal(m.servers, v.servers) {
		return false
	}
	for id, ranges := range m.shards {
		said := slices.Clone(v.slots[id])
		slices.SortFunc(said, func(a, b pool.SlotRange) int { return cmp.Compare(a.First, b.First) })
		if !slices.Equal(ranges, said) {
			return false
		}
	}
	return true
}

// covered returns how many slots have an owner.
func (m *clusterMap) covered() (n int) {
	for i := range m.claims {
		if m.claims[i].owner != "" {
			n++
		}
	}
	return n
}

// replicas returns the replicas of a primary that are healthy as far as the Cluster knows,
// sorted by address.
func (m *clusterMap) replicas(primary string) (found []clusterServer) {
	for _, n := range m.servers {
		if _, isPrimary := m.shards[n.id]; n.primary == primary && n.healthy && !isPrimary {
			found = append(found, n)
		}
	}
	slices.SortFunc(found, func(a, b clusterServer) int { return cmp.Compare(a.addr, b.addr) })
	return found
}

// A clusterChange is what has happened to one shard.
type clusterChange struct {
	what     string // "added", "removed", "failover" or "address"
	from, to clusterServer
}

// changesTo returns what has happened to the shards in the next map, in the order of their
// IDs, and how many slots have moved from one shard to another other than by a failover.
// Primaries without slots are not shards here.
func (m *clusterMap) changesTo(next *clusterMap) (changes []clusterChange, moved int) {
	successors := map[string]string{} // by the primary's ID, the replica that was promoted
	for _, id := range slices.Sorted(maps.Keys(next.shards)) {
		before, now := len(m.shards[id]) > 0, len(next.shards[id]) > 0
		old, n := m.servers[id], next.servers[id]
		switch {
		case now && !before && old.primary != "" && len(m.shards[old.primary]) > 0 && len(next.shards[old.primary]) == 0:
			successors[old.primary] = id
			changes = append(changes, clusterChange{"failover", m.servers[old.primary], n})
		case now && !before:
			changes = append(changes, clusterChange{what: "added", to: n})
		case now && before && old.addr != n.addr:
			changes = append(changes, clusterChange{"address", old, n})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.shards)) {
		if len(m.shards[id]) > 0 && len(next.shards[id]) == 0 && successors[id] == "" {
			changes = append(changes, clusterChange{what: "removed", from: m.servers[id]})
		}
	}
	for s := range m.claims {
		from, to := m.claims[s].owner, next.claims[s].owner
		if from != to && from != "" && successors[from] != to {
			moved++
		}
	}
	return changes, moved
}
