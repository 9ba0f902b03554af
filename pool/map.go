package pool

import (
	"slices"

	"ringway/hashring"
)

// Map says which shard owns a key. It is immutable and replaced whole: a request with
// several keys must use one Map for all of them.
type Map struct {
	ring   *hashring.Ring          // nil for a Cluster
	owners []int                   // of a ring: the shard of each of its servers; nil if that is its index
	slots  *[hashring.Slots]uint16 // of a Cluster: the shard of each hash slot
	owns   []bool                  // of a Cluster: whether a shard has a slot; with owners: whether it is on the ring
	down   []bool                  // of a static pool: which shards' servers are down
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
	if m.owners != nil {
		return m.owners[m.ring.Index(key)]
	}
	return m.ring.Index(key)
}

// Bucket returns the same number for two keys if one request may have both: the index of
// their shard, or in a Cluster their hash slot.
func (m *Map) Bucket(key []byte) int {
	if m.slots != nil {
		return int(hashring.Slot(key))
	}
	return m.Index(key)
}

// Buckets is Bucket of several keys, which may cost less than one after the other: it
// sets buckets[i] to the bucket of keys[i]. Both slices must have the same length.
func (m *Map) Buckets(keys [][]byte, buckets []int) {
	if m.slots == nil {
		m.ring.Indices(keys, buckets)
		if m.owners != nil {
			for i, server := range buckets[:len(keys)] {
				buckets[i] = m.owners[server]
			}
		}
		return
	}
	for i, key := range keys {
		buckets[i] = int(hashring.Slot(key))
	}
}

// Slotted reports whether buckets are the hash slots of a Cluster.
func (m *Map) Slotted() bool { return m.slots != nil }

// Serves reports whether a shard of a Cluster has a slot.
func (m *Map) Serves(shard int) bool { return shard < len(m.owns) && m.owns[shard] }

// ShardAt returns the shard of a bucket.
func (m *Map) ShardAt(bucket int) int {
	if m.slots != nil {
		return int(m.slots[bucket])
	}
	return bucket
}

// Shares returns which part of the hash space, 0 to 1, each of the first n shards owns. It walks
// over the whole ring.
func (m *Map) Shares(n int) []float64 {
	shares := make([]float64, n)
	if m.slots == nil {
		for i, p := range m.ring.Points() {
			if m.owners != nil {
				i = m.owners[i]
			}
			shares[i] = p.Share
		}
		return shares
	}
	for _, shard := range m.slots {
		if int(shard) < n {
			shares[shard] += 1.0 / hashring.Slots
		}
	}
	return shares
}

// Ring returns the ring that places keys; nil in a Cluster. Its servers are in the order of the
// configuration, which need not be the shards' after a Reconfigure.
func (m *Map) Ring() *hashring.Ring { return m.ring }

// Pins reports whether every key that begins with prefix has the bucket of a key which is
// prefix. It is false if that is not certain.
func (m *Map) Pins(prefix []byte) bool {
	if m.slots != nil {
		return hashring.SlotPins(prefix)
	}
	return m.ring.Pins(prefix)
}

// slotsOf returns how many hash slots of a Cluster a shard has.
func (m *Map) slotsOf(shard int) (n int) {
	if m.slots == nil {
		return 0
	}
	for _, s := range m.slots {
		if int(s) == shard {
			n++
		}
	}
	return n
}
