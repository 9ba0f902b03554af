package session

// trackedKeys is which clients of a tracker have read which keys. It finds the readers of a
// key and the keys of a reader, and removes either at a cost that grows only with what it
// removes.
type trackedKeys struct {
	byName map[string]*trackedKey
	pairs  int // how many pairs of a key and a reader there are
	epoch  int // grows with each clear
}

// trackedKey is a key, and who has read it, each client once and in no order.
type trackedKey struct {
	name    string
	readers []*tracking
}

// readKeys is the keys that one client has read, each with the client's index in
// trackedKey.readers.
type readKeys struct {
	indexes map[*trackedKey]int
	epoch   int // of trackedKeys when that was noted; nothing of it holds in another epoch
}

func newTrackedKeys() *trackedKeys { return &trackedKeys{byName: map[string]*trackedKey{}} }

// note notes that a client reads a key. It copies the name if the key is new.
func (ks *trackedKeys) note(t *tracking, name []byte) {
	k := ks.byName[string(name)]
	if k == nil {
		k = &trackedKey{name: string(name)}
		ks.byName[k.name] = k
	}
	if t.readKeys.epoch != ks.epoch || t.readKeys.indexes == nil {
		t.readKeys = readKeys{indexes: map[*trackedKey]int{}, epoch: ks.epoch}
	}
	if _, noted := t.readKeys.indexes[k]; noted {
		return
	}
	t.readKeys.indexes[k] = len(k.readers)
	k.readers = append(k.readers, t)
	ks.pairs++
}

// take removes a key and returns its readers.
func (ks *trackedKeys) take(name []byte) (readers []*tracking) {
	k := ks.byName[string(name)]
	if k == nil {
		return nil
	}
	delete(ks.byName, k.name)
	for _, t := range k.readers {
		delete(t.readKeys.indexes, k)
	}
	ks.pairs -= len(k.readers)
	return k.readers
}

// forget removes t from the readers of at most n keys. It reports whether that was all that
// t has read.
func (ks *trackedKeys) forget(t *tracking, n int) (done bool) {
	if t.readKeys.epoch != ks.epoch {
		return true
	}
	for k, index := range t.readKeys.indexes {
		if n--; n < 0 {
			return false
		}
		delete(t.readKeys.indexes, k)
		last := len(k.readers) - 1
		if index != last {
			k.readers[index] = k.readers[last]
			k.readers[index].readKeys.indexes[k] = index
		}
		k.readers[last] = nil
		if k.readers = k.readers[:last]; last == 0 {
			delete(ks.byName, k.name)
		}
		ks.pairs--
	}
	return true
}

// any returns the name of an arbitrary key, or nil if there is none.
func (ks *trackedKeys) any() []byte {
	for name := range ks.byName {
		return []byte(name)
	}
	return nil
}

// clear removes everything. The clients' readKeys, which it does not walk over, are of an
// older epoch then.
func (ks *trackedKeys) clear() {
	ks.byName = map[string]*trackedKey{}
	ks.pairs = 0
	ks.epoch++
}
