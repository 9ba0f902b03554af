package session

// trackedKeys are the keys that a loop's clients of CLIENT TRACKING have read, and who
// has read which. A client that has read a key counts as one note.
type trackedKeys struct {
	byName map[string]*trackedKey
	notes  int
	epoch  int // grows when everything is forgotten
}

type trackedKey struct {
	name    string
	readers []*tracking
}

// notes are the keys that one client has read, with its place among the readers.
type notes struct {
	positions map[*trackedKey]int
	epoch     int // trackedKeys.epoch at which that holds
}

func newTrackedKeys() *trackedKeys { return &trackedKeys{byName: map[string]*trackedKey{}} }

// note notes that a client reads a key.
func (ks *trackedKeys) note(t *tracking, name []byte) {
	k := ks.byName[string(name)]
	if k == nil {
		k = &trackedKey{name: string(name)}
		ks.byName[k.name] = k
	}
	if t.notes.epoch != ks.epoch || t.notes.positions == nil {
		t.notes = notes{positions: map[*trackedKey]int{}, epoch: ks.epoch}
	}
	if _, noted := t.notes.positions[k]; noted {
		return
	}
	t.notes.positions[k] = len(k.readers)
	k.readers = append(k.readers, t)
	ks.notes++
}

// take forgets a key and returns who has read it.
func (ks *trackedKeys) take(name []byte) (readers []*tracking) {
	k := ks.byName[string(name)]
	if k == nil {
		return nil
	}
	delete(ks.byName, k.name)
	for _, t := range k.readers {
		delete(t.notes.positions, k)
	}
	ks.notes -= len(k.readers)
	return k.readers
}

// forget forgets what a client has read, at most so many keys, and reports whether
// that was all.
func (ks *trackedKeys) forget(t *tracking, n int) (done bool) {
	if t.notes.epoch != ks.epoch {
		return true
	}
	for k, place := range t.notes.positions {
		if n--; n < 0 {
			return false
		}
		delete(t.notes.positions, k)
		last := len(k.readers) - 1
		if place != last {
			k.readers[place] = k.readers[last]
			k.readers[place].notes.positions[k] = place
		}
		k.readers[last] = nil
		if k.readers = k.readers[:last]; last == 0 {
			delete(ks.byName, k.name)
		}
		ks.notes--
	}
	return true
}

// any returns the name of one of the keys.
func (ks *trackedKeys) any() []byte {
	for name := range ks.byName {
		return []byte(name)
	}
	return nil
}

// clear forgets everything.
func (ks *trackedKeys) clear() {
	ks.byName = map[string]*trackedKey{}
	ks.notes = 0
	ks.epoch++
}
