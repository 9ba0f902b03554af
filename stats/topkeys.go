package stats

import "hash/maphash"

const (
	// maxKeyBytes is how many bytes of a key are kept. Of a longer key its beginning is.
	maxKeyBytes = 96
	// maxTopKeys is how many keys a topKeys holds.
	maxTopKeys = 1024
	// firstTopKeys is how many it has room for at first.
	firstTopKeys = 64
)

// Key is a key that a request names.
type Key struct {
	Bytes  []byte // its beginning, of maxKeyBytes at most
	Length int    // how long it is
	Hash   uint64 // of all its bytes
}

var seed = maphash.MakeSeed()

// KeyOf returns a key. Its bytes are those of key.
func KeyOf(key []byte) Key {
	return Key{key[:min(len(key), maxKeyBytes)], len(key), maphash.Bytes(seed, key)}
}

// topKeys finds the keys with the greatest weights in a stream (Space-Saving, by Metwally, Agrawal
// and El Abbadi). When it is full, a new key takes the place of the one with the least weight, and
// inherits that weight: it may have been seen before. So a key's weight is never more than its
// count, nor less than the count without what was inherited; and a key that is not held has at most
// the least count. The zero topKeys is empty.
type topKeys struct {
	entries []topKey
	heap    []heapItem // the least count is first; each has four children
	slots   []slot     // hash table; its size is a power of two, and less than 1<<16
}

// topKey is one key of a topKeys. Its count is in the heap.
type topKey struct {
	hash      uint64
	inherited uint64 // the part of the count that another key had
	samples   uint32 // how often the key was added since it is held
	length    uint32 // of the key
	heapAt    uint16 // where it is in the heap
	kept      uint8  // bytes of key
	key       [maxKeyBytes]byte
}

// heapItem is the count of an entry.
type heapItem struct {
	count uint64
	entry uint16 // its index
}

// slot is 0, or the end of a hash and 1 + the index of the entry.
type slot uint32

func slotOf(hash uint64, entry uint16) slot { return slot(hash)<<16 | slot(entry+1) }

func (s slot) entry() uint16 { return uint16(s) - 1 }
func (s slot) hash() int     { return int(s >> 16) }

// add adds weight to a key.
func (t *topKeys) add(key Key, weight uint64) {
	at, e := t.find(key.Hash)
	if e == nil {
		e = t.take(key, at)
	}
	e.samples++
	t.heap[e.heapAt].count += weight
	t.sink(int(e.heapAt))
}

// find returns the entry with a hash and its slot, or nil and the slot where it belongs.
func (t *topKeys) find(hash uint64) (at int, e *topKey) {
	if t.slots == nil {
		t.grow()
	}
	mask := len(t.slots) - 1
	for at = int(hash) & mask; t.slots[at] != 0; at = (at + 1) & mask {
		if s := t.slots[at]; s.hash() == int(uint16(hash)) && t.entries[s.entry()].hash == hash {
			return at, &t.entries[s.entry()]
		}
	}
	return at, nil
}

// take returns an entry for a key that has none: a new one, or that with the least count. at is
// the slot from find.
func (t *topKeys) take(key Key, at int) (e *topKey) {
	if len(t.entries) == cap(t.entries) && len(t.entries) < maxTopKeys {
		t.grow()
		at, _ = t.find(key.Hash)
	}
	if n := len(t.entries); n < cap(t.entries) {
		t.entries = t.entries[:n+1]
		e = &t.entries[n]
		e.inherited, e.samples = 0, 0
		t.heap = append(t.heap, heapItem{})
		t.rise(n)
		t.slots[at] = slotOf(key.Hash, uint16(n))
	} else {
		least := t.heap[0]
		e = &t.entries[least.entry]
		t.forget(e)
		at, _ = t.find(key.Hash)
		t.slots[at] = slotOf(key.Hash, least.entry)
		e.inherited, e.samples = least.count, 0
	}
	e.hash, e.length, e.kept = key.Hash, uint32(min(key.Length, 1<<32-1)), uint8(copy(e.key[:], key.Bytes))
	return e
}

// forget takes an entry out of the hash table. The entries behind it move up, so that find meets
// no gap.
func (t *topKeys) forget(e *topKey) {
	mask := len(t.slots) - 1
	gap, _ := t.find(e.hash)
	for next := (gap + 1) & mask; t.slots[next] != 0; next = (next + 1) & mask {
		if home := t.slots[next].hash() & mask; (next-home)&mask >= (next-gap)&mask {
			t.slots[gap] = t.slots[next]
			gap = next
		}
	}
	t.slots[gap] = 0
}

// grow makes room for twice as many keys.
func (t *topKeys) grow() {
	room := max(firstTopKeys, 2*cap(t.entries))
	t.entries = append(make([]topKey, 0, room), t.entries...)
	t.heap = append(make([]heapItem, 0, room), t.heap...)
	t.slots = make([]slot, 4*room)
	for i := range t.entries {
		at, _ := t.find(t.entries[i].hash)
		t.slots[at] = slotOf(t.entries[i].hash, uint16(i))
	}
}

// sink moves the item at a place of the heap down to where it belongs, since its count has grown.
func (t *topKeys) sink(at int) {
	heap := t.heap
	moved := heap[at]
	for {
		first := 4*at + 1
		if first >= len(heap) {
			break
		}
		least := first
		for child := first + 1; child < min(first+4, len(heap)); child++ {
			if heap[child].count < heap[least].count {
				least = child
			}
		}
		if heap[least].count >= moved.count {
			break
		}
		t.put(at, heap[least])
		at = least
	}
	t.put(at, moved)
}

// rise puts entry n, which is new and has no count, at the top of the heap, whose last place is
// free.
func (t *topKeys) rise(n int) {
	at := n
	for at > 0 {
		parent := (at - 1) / 4
		t.put(at, t.heap[parent])
		at = parent
	}
	t.put(0, heapItem{entry: uint16(n)})
}

func (t *topKeys) put(at int, item heapItem) {
	t.heap[at] = item
	t.entries[item.entry].heapAt = uint16(at)
}

// least returns how much weight a key can have that is not held.
func (t *topKeys) least() uint64 {
	if len(t.entries) < maxTopKeys {
		return 0
	}
	return t.heap[0].count
}

// clear forgets all keys, and keeps the memory.
func (t *topKeys) clear() {
	if len(t.entries) > 0 {
		t.entries, t.heap = t.entries[:0], t.heap[:0]
		clear(t.slots)
	}
}
