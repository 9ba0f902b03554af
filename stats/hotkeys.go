package stats

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Sampler chooses requests of one loop at random: all of them while there are few, and fewer as
// there are more, so that samples cost a bounded share of the loop's time. A sample stands for as
// many requests as its weight. The zero Sampler chooses every request.
type Sampler struct {
	skip  uint32 // requests until the next sample
	shift uint8  // logarithm of the weight
	taken int    // samples since the last tick
}

const (
	// samplesPerTick is how many samples a loop takes from one Tick to the next. There are ten ticks
	// in a second. A key with one percent of the requests is seen 90 to 200 times in a second then,
	// which tells its rate to 7 to 10 % (one standard deviation), by one loop alone. A sample costs some
	// 200 ns, with the keys' tables out of the cache.
	samplesPerTick = 2000
	// maxShift is the greatest logarithm of a sample's weight.
	maxShift = 15
)

// Next reports whether the next request is a sample. It must be called once for each request.
func (s *Sampler) Next() bool {
	if s.skip > 0 {
		s.skip--
		return false
	}
	return true
}

// Due reports what the next call of Next will.
func (s *Sampler) Due() bool { return s.skip == 0 }

// Take is called for a sample. It returns the logarithm of its weight, and chooses how many requests
// are left out until the next one: at random, so that traffic with a period is sampled as it is.
func (s *Sampler) Take() (shift uint8) {
	shift = s.shift
	if s.taken++; s.taken%samplesPerTick == 0 && s.shift < maxShift {
		s.shift++
	}
	if s.shift > 0 {
		s.skip = rand.Uint32N(2<<s.shift - 1)
	}
	return shift
}

// Tick adapts the sampler to the load. It is called ten times in a second.
func (s *Sampler) Tick() {
	if s.taken < samplesPerTick*45/100 && s.shift > 0 {
		s.shift--
		s.skip = min(s.skip, 2<<s.shift-1)
	}
	s.taken = 0
}

// sliceTime is how long a slice of HotKeys is, in nanoseconds.
const sliceTime = int64(time.Second)

// HotKeys finds the keys that have most requests, and those that have most bytes, of those that one
// loop sees in one pool. It is about the last second, and what has passed of the present one.
type HotKeys struct {
	now, before keySlice
	period      *KeyPeriod // nil while none is counted for; see Count
}

// keySlice is a time that HotKeys is about.
type keySlice struct {
	began    int64   // as eventloop.Loop.Now
	requests topKeys // by the number of requests
	bytes    topKeys // by the bytes of requests and replies
	weight   uint64  // of all samples
	squares  uint64  // the sum of the squares of their weights
}

// Add counts a sample that stands for weight requests, and what they and their replies have of bytes.
func (h *HotKeys) Add(key Key, weight, bytes uint64) {
	s := &h.now
	s.requests.add(key, weight)
	s.bytes.add(key, weight*bytes)
	s.weight += weight
	s.squares += weight * weight
	if h.period != nil {
		h.period.add(key, weight, bytes)
	}
}

// Tick begins a new slice when it is time. now is eventloop.Loop.Now.
func (h *HotKeys) Tick(now int64) {
	if h.now.began == 0 {
		h.now.began, h.before.began = now, now
	}
	if h.period != nil && h.period.until > 0 && now >= h.period.until {
		h.period = nil
	}
	if now-h.now.began < sliceTime {
		return
	}
	h.now, h.before = h.before, h.now
	h.now.requests.clear()
	h.now.bytes.clear()
	h.now.began, h.now.weight, h.now.squares = now, 0, 0
}

// Copy returns a copy, for MergeHotKeys. now is eventloop.Loop.Now.
func (h *HotKeys) Copy(now int64) *KeyCounts {
	k := &KeyCounts{seconds: float64(now-h.before.began) / 1e9}
	for i, s := range []*keySlice{&h.before, &h.now} {
		k.requests[i], k.bytes[i] = s.requests.copy(), s.bytes.copy()
		k.weight += s.weight
		k.squares += s.squares
	}
	return k
}

// KeyCounts is a copy of HotKeys.
type KeyCounts struct {
	seconds         float64 // how long it is about
	requests, bytes [2]keyCounts
	weight, squares uint64
}

// keyCounts is a copy of topKeys.
type keyCounts struct {
	entries []topKey
	heap    []heapItem
	least   uint64
}

func (t *topKeys) copy() keyCounts {
	return keyCounts{slices.Clone(t.entries), slices.Clone(t.heap), t.least()}
}

// HotKey is a key, and how much of the pool's traffic it has had in the last one or two seconds.
type HotKey struct {
	Key    string // its beginning, if it is longer than 96 bytes
	Length int    // of the key, in bytes

	Requests      float64 // a second
	RequestsError float64 // by how much Requests may be wrong: surely if all requests are counted, with 95 % if samples are
	Bytes         float64 // of requests and replies, a second
	BytesError    float64
}

// TopHotKeys is the keys of a pool with most traffic, over all loops.
type TopHotKeys struct {
	ByRequests []HotKey // the most requests first
	ByBytes    []HotKey // the most bytes first
	Requests   float64  // of all keys, a second; a request with several keys counts for each
	Sampled    float64  // the share of requests that were looked at, 0 to 1
}

// MergeHotKeys returns the n keys with most requests, and the n with most bytes, of what several
// loops have counted.
func MergeHotKeys(loops []*KeyCounts, n int) (top TopHotKeys) {
	var weight, squares float64
	requests, bytes := keyMerger{}, keyMerger{}
	for _, l := range loops {
		if l == nil || l.seconds <= 0 {
			continue
		}
		for i := range l.requests {
			requests.add(&l.requests[i], l.seconds)
			bytes.add(&l.bytes[i], l.seconds)
		}
		top.Requests += float64(l.weight) / l.seconds
		weight, squares = weight+float64(l.weight), squares+float64(l.squares)
	}
	if weight == 0 {
		return top
	}
	top.Sampled = weight / squares
	byHash := map[uint64]*HotKey{}
	for hash, m := range requests.keys {
		k := m.hotKey()
		k.Requests, k.RequestsError = m.estimate(requests.least, top.Sampled)
		byHash[hash] = k
	}
	for hash, m := range bytes.keys {
		k := byHash[hash]
		if k == nil {
			k = m.hotKey()
			k.Requests, k.RequestsError = requests.least/2, requests.least/2
			byHash[hash] = k
		}
		k.Bytes, k.BytesError = m.estimate(bytes.least, top.Sampled)
	}
	var all []HotKey
	for hash, k := range byHash {
		if bytes.keys[hash] == nil {
			k.Bytes, k.BytesError = bytes.least/2, bytes.least/2
		}
		all = append(all, *k)
	}
	top.ByRequests = firstKeys(all, n, func(k *HotKey) float64 { return k.Requests })
	top.ByBytes = firstKeys(all, n, func(k *HotKey) float64 { return k.Bytes })
	return top
}

// firstKeys returns the n keys with the greatest values.
func firstKeys(all []HotKey, n int, value func(k *HotKey) float64) []HotKey {
	slices.SortFunc(all, func(a, b HotKey) int {
		return cmp.Or(cmp.Compare(value(&b), value(&a)), cmp.Compare(a.Key, b.Key))
	})
	return slices.Clone(all[:min(n, len(all))])
}

// keyMerger adds up keyCounts, per second.
type keyMerger struct {
	keys  map[uint64]*mergedKey // by hash
	least float64               // what a key can have that is held nowhere
}

// mergedKey is a key of a keyMerger.
type mergedKey struct {
	entry     *topKey
	count     float64
	inherited float64
	held      float64 // of keyMerger.least, what those have added that hold the key
	samples   float64
}

func (m *keyMerger) add(c *keyCounts, seconds float64) {
	if m.keys == nil {
		m.keys = map[uint64]*mergedKey{}
	}
	least := float64(c.least) / seconds
	m.least += least
	for i := range c.entries {
		e := &c.entries[i]
		k := m.keys[e.hash]
		if k == nil {
			k = &mergedKey{entry: e}
			m.keys[e.hash] = k
		}
		k.count += float64(c.heap[e.heapAt].count) / seconds
		k.inherited += float64(e.inherited) / seconds
		k.held += least
		k.samples += float64(e.samples)
	}
}

// estimate returns the middle between the least and the most that the key can have, and by how much
// that may be wrong. least is keyMerger.least; sampled is the share of requests that were sampled.
func (k *mergedKey) estimate(least, sampled float64) (value, wrong float64) {
	low, high := k.count-k.inherited, k.count+least-k.held
	value, wrong = (low+high)/2, (high-low)/2
	return value, wrong + 2*value*math.Sqrt((1-min(sampled, 1))/max(k.samples, 1))
}

func (k *mergedKey) hotKey() *HotKey {
	return &HotKey{Key: string(k.entry.key[:k.entry.kept]), Length: int(k.entry.length)}
}
