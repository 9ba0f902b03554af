package topology

import (
	"cmp"
	"maps"
	"slices"

	"ringway/pool"
)

// clusterMap is what is held to be true of a Cluster: who owns each slot, from
// which epoch on, and what is known of its servers. The zero value knows nothing.
type clusterMap struct {
	claims [clusterSlots]claim
	nodes  map[string]clusterNode
	shards map[string][]pool.SlotRange // by the primary's ID, those without slots included
}

// claim is a server's right to a slot. Of two, Redis Cluster itself honours the
// one with the higher configuration epoch, and so does the map: a server that has
// missed a failover cannot turn it back.
type claim struct {
	owner string // "" if nobody owns the slot
	epoch int64
}

// merge returns the map that follows from the one held and from what servers say
// now, each asked once. A claim with a lower epoch than what is held needs more
// than half of members, the servers that there are, or the former owner's word.
// Slots for which that lacks are unsettled, and stay as they are until more
// servers were asked.
func (m *clusterMap) merge(views []*clusterView, members int) (next *clusterMap, unsettled int) {
	next = &clusterMap{claims: m.claims}
	seen := newClaims(views)
	for s := range next.claims {
		held := &next.claims[s]
		best, votes := seen.best(s, held.owner)
		switch {
		case best.owner == "":
			continue
		case held.owner == "", best.owner == held.owner, best.epoch > held.epoch, seen.disowned(s, held.owner):
		case votes > members/2:
		default:
			unsettled++
			continue
		}
		*held = best
	}
	next.nodes = m.mergeNodes(views, next)
	next.group()
	return next, unsettled
}

// claims are what servers see, for each of them and each slot.
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
					c.views[i][s] = claim{id, v.nodes[id].epoch}
				}
			}
		}
	}
	return c
}

// disowned reports whether a server says itself that a slot is not its own. Then
// others who say it is have not heard of that yet.
func (c *claims) disowned(slot int, owner string) bool {
	i, asked := c.own[owner]
	return asked && c.views[i][slot].owner != owner
}

// best is the claim to a slot with the highest epoch, and how many servers see
// it. Of two that are equal in that, which only happens where epochs are not told,
// more servers decide, and then what is held.
func (c *claims) best(slot int, held string) (best claim, votes int) {
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
		if best.owner == "" || better > 0 || better == 0 && seen.owner == held {
			best, votes = seen, n
		}
	}
	return best, votes
}

// mergeNodes returns all servers that somebody mentions, or that own a slot. A
// server that sees no slot served has no say: it was removed, and sees itself.
func (m *clusterMap) mergeNodes(views []*clusterView, next *clusterMap) map[string]clusterNode {
	views = slices.DeleteFunc(slices.Clone(views), func(v *clusterView) bool { return v.covered() == 0 })
	if len(views) == 0 {
		return m.nodes
	}
	nodes := map[string]clusterNode{}
	for s := range next.claims {
		owner := next.claims[s].owner
		if n, known := m.nodes[owner]; known {
			nodes[owner] = n
		}
	}
	slices.SortStableFunc(views, func(a, b *clusterView) int { return cmp.Compare(a.epoch, b.epoch) })
	for _, v := range views { // the newest last
		for id, n := range v.nodes {
			if old, known := nodes[id]; known && old.epoch > n.epoch && n.epoch != 0 {
				continue
			}
			nodes[id] = n
		}
	}
	return nodes
}

// group finds the slots of each primary. One without slots counts if it works:
// slots may be on their way to it.
func (m *clusterMap) group() {
	m.shards = map[string][]pool.SlotRange{}
	for id, n := range m.nodes {
		if n.primary == "" && n.fit {
			m.shards[id] = nil
		}
	}
	for first := 0; first < clusterSlots; {
		owner, last := m.claims[first].owner, first
		for last+1 < clusterSlots && m.claims[last+1].owner == owner {
			last++
		}
		if _, known := m.nodes[owner]; known {
			m.shards[owner] = append(m.shards[owner], pool.SlotRange{First: uint16(first), Last: uint16(last)})
		}
		first = last + 1
	}
}

// agrees reports whether a view says nothing new.
func (m *clusterMap) agrees(v *clusterView) bool {
	if !maps.Equal(m.nodes, v.nodes) {
		return false
	}
	for id, held := range m.shards {
		said := slices.Clone(v.slots[id])
		slices.SortFunc(said, func(a, b pool.SlotRange) int { return cmp.Compare(a.First, b.First) })
		if !slices.Equal(held, said) {
			return false
		}
	}
	return true
}

// covered is how many slots somebody owns.
func (m *clusterMap) covered() (n int) {
	for i := range m.claims {
		if m.claims[i].owner != "" {
			n++
		}
	}
	return n
}

// replicas are the servers that copy a primary and work, as far as the Cluster
// knows.
func (m *clusterMap) replicas(primary string) (found []clusterNode) {
	for _, n := range m.nodes {
		if _, leads := m.shards[n.id]; n.primary == primary && n.fit && !leads {
			found = append(found, n)
		}
	}
	slices.SortFunc(found, func(a, b clusterNode) int { return cmp.Compare(a.addr, b.addr) })
	return found
}

// clusterChange is what has become of one shard.
type clusterChange struct {
	what     string // "added", "removed", "failover" or "address"
	from, to clusterNode
}

// changesTo tells what became of the shards in the next map, in the order of
// their IDs, and how many slots have gone from one shard to another otherwise.
// Primaries without slots are not shards yet.
func (m *clusterMap) changesTo(next *clusterMap) (changes []clusterChange, moved int) {
	heirs := map[string]string{} // of a primary that lost its place
	for _, id := range slices.Sorted(maps.Keys(next.shards)) {
		before, now := len(m.shards[id]) > 0, len(next.shards[id]) > 0
		old, n := m.nodes[id], next.nodes[id]
		switch {
		case now && !before && old.primary != "" && len(m.shards[old.primary]) > 0 && len(next.shards[old.primary]) == 0:
			heirs[old.primary] = id
			changes = append(changes, clusterChange{"failover", m.nodes[old.primary], n})
		case now && !before:
			changes = append(changes, clusterChange{what: "added", to: n})
		case now && before && old.addr != n.addr:
			changes = append(changes, clusterChange{"address", old, n})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.shards)) {
		if len(m.shards[id]) > 0 && len(next.shards[id]) == 0 && heirs[id] == "" {
			changes = append(changes, clusterChange{what: "removed", from: m.nodes[id]})
		}
	}
	for s := range m.claims {
		from, to := m.claims[s].owner, next.claims[s].owner
		if from != to && from != "" && heirs[from] != to {
			moved++
		}
	}
	return changes, moved
}
