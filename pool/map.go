package pool

import (
	"slices"

	"ringway/hashring"
)

// Map says which shard owns a key. It is immutable and swapped whole; what must
// be placed consistently takes one Map for all of it.
type Map struct {
	ring  *hashring.Ring
	slots *[hashring.Slots]uint16 // of a Cluster, instead of a ring: the shard of each hash slot
	owns  []bool                  // of a Cluster: whether a shard has a slot
	down  []bool                  // of a static pool: which servers have failed
}

// slotMap returns the Map of a Cluster.
func slotMap(slots *[hashring.Slots]uint16) *Map {
	m := &Map{slots: slots, owns: make([]bool, 1+slices.Max(slots[:]))}
	for _, shard := range slots {
		m.owns[shard] = true
	}
	return m
}

// Index returns the shard that owns a key.
func (m *Map) Index(key []byte) int {
	if m.slots != nil {
		return int(m.slots[hashring.Slot(key)])
	}
	return m.ring.Index(key)
}

// Bucket returns a number that is the same for two keys if one request may have
// both: the shard's, or in a Cluster that of the hash slot.
func (m *Map) Bucket(key []byte) int {
	if m.slots != nil {
		return int(hashring.Slot(key))
	}
	return m.ring.Index(key)
}

// Buckets is Place of several keys, which may cost less than one after the other:
// places[i] becomes the place of keys[i]. There must be as many of both.
func (m *Map) Buckets(keys [][]byte, places []int) {
	if m.slots == nil {
		m.ring.Indices(keys, places)
		return
	}
	for i, key := range keys {
		places[i] = int(hashring.Slot(key))
	}
}

// Slotted tells whether places are the hash slots of a Cluster.
func (m *Map) Slotted() bool { return m.slots != nil }

// Serves tells whether a shard of a Cluster has a slot.
func (m *Map) Serves(shard int) bool { return shard < len(m.owns) && m.owns[shard] }

// ShardAt returns the shard of a place.
func (m *Map) ShardAt(place int) int {
	if m.slots != nil {
		return int(m.slots[place])
	}
	return place
}

// Ring is the ring that places keys, nil in a Cluster.
func (m *Map) Ring() *hashring.Ring { return m.ring }
