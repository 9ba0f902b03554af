package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestTopKeysBoundWhatTheyDoNotKnow adds weights to keys of several distributions, and compares
// what topKeys says with exact counts: after any number of additions the weight of each key is
// within its bounds, and the keys above the average of an entry are held.
func TestTopKeysBoundWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	zipf := rand.NewZipf(random, 1.1, 1, 100000)
	for name, next := range map[string]func() uint64{
		"few":     func() uint64 { return random.Uint64N(50) },
		"uniform": func() uint64 { return random.Uint64N(20000) },
		"zipf":    zipf.Uint64,
		"new":     func() uint64 { return random.Uint64() },
	} {
		var top topKeys
		exact, total := map[uint64]uint64{}, uint64(0)
		for round := range 2 {
			for i := range 40000 {
				n, weight := next(), 1+random.Uint64N(3)
				key := KeyOf(fmt.Appendf(nil, "%d", n))
				exact[key.Hash] += weight
				total += weight
				top.add(key, weight)
				if i%5000 == 0 || i < 200 {
					checkTopKeys(t, name, &top, exact, total)
				}
			}
			checkTopKeys(t, name, &top, exact, total)
			if round == 0 {
				top.clear()
				clear(exact)
				total = 0
			}
		}
	}
}

func checkTopKeys(t *testing.T, name string, top *topKeys, exact map[uint64]uint64, total uint64) {
	t.Helper()
	held, sum := map[uint64]bool{}, uint64(0)
	for i := range top.entries {
		e := &top.entries[i]
		count := top.heap[e.heapAt].count
		held[e.hash] = true
		sum += count
		if truth := exact[e.hash]; truth > count || truth < count-e.inherited {
			t.Fatalf("%s: %q has %d, of which %d are inherited; the truth is %d", name, e.key[:e.kept], count, e.inherited, truth)
		}
		if _, found := top.find(e.hash); found != e || top.heap[e.heapAt].entry != uint16(i) {
			t.Fatalf("%s: %q is lost", name, e.key[:e.kept])
		}
		if parent := (e.heapAt - 1) / 4; e.heapAt > 0 && top.heap[parent].count > count {
			t.Fatalf("%s: the heap is out of order", name)
		}
	}
	if len(held) != len(top.entries) || sum != total {
		t.Fatalf("%s: %d keys in %d entries, %d of %d", name, len(held), len(top.entries), sum, total)
	}
	for hash, truth := range exact {
		if !held[hash] && (truth > top.least() || truth > total/maxTopKeys) {
			t.Fatalf("%s: a key with %d of %d is not held; the least is %d", name, truth, total, top.least())
		}
	}
}

// TestHotKeysAreWithinTheirError samples a zipf distribution in two loops, as a Sampler chooses,
// and compares the rates of keys with one percent and more with the truth.
func TestHotKeysAreWithinTheirError(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	zipf := rand.NewZipf(random, 1.2, 2, 1000000)
	const rate = 300000 // requests a second and loop
	var loops []*KeyCounts
	truth := map[string]float64{}
	for loop := range 2 {
		var s Sampler
		var h HotKeys
		for tick := range 15 {
			now := int64(time.Hour) + int64(tick)*int64(100*time.Millisecond)
			h.Tick(now)
			for range rate / 10 {
				key := fmt.Sprintf("key:%d", zipf.Uint64())
				if truth[key] += 1 / 1.5; s.Next() {
					h.Add(KeyOf([]byte(key)), 1<<s.Take(), 100)
				}
			}
			s.Tick()
		}
		if s.shift < 3 || s.shift > 6 {
			t.Errorf("loop %d: the weight is 2^%d", loop, s.shift)
		}
		loops = append(loops, h.Copy(int64(time.Hour+1500*time.Millisecond)))
	}
	top := MergeHotKeys(loops, 20)
	checked, outside := 0, 0
	for _, k := range top.ByRequests {
		want := truth[k.Key]
		if want < 0.01*2*rate {
			continue
		}
		checked++
		if math.Abs(k.Requests-want) > k.RequestsError {
			outside++
		}
		if math.Abs(k.Requests-want) > 0.25*want || k.RequestsError > 0.25*want {
			t.Errorf("%s: %.0f ± %.0f a second, want %.0f", k.Key, k.Requests, k.RequestsError, want)
		}
		if math.Abs(k.Bytes-100*k.Requests) > 0.05*k.Bytes {
			t.Errorf("%s: %.0f bytes for %.0f requests", k.Key, k.Bytes, k.Requests)
		}
	}
	if checked < 8 || outside > 4 {
		t.Errorf("%d keys checked, %d are outside of their error: %+v", checked, outside, top.ByRequests)
	}
	if top.Sampled > 0.3 || top.Sampled < 0.015 {
		t.Errorf("%v of the requests were sampled", top.Sampled)
	}
}

func TestKeysWithLargeRepliesAreHotByBytes(t *testing.T) {
	t.Parallel()
	var h HotKeys
	h.Tick(int64(time.Second))
	for i := range 3000 {
		h.Add(KeyOf(fmt.Appendf(nil, "small%d", i%300)), 1, 50)
	}
	h.Add(KeyOf([]byte("large")), 1, 1<<20)
	top := MergeHotKeys([]*KeyCounts{h.Copy(int64(2 * time.Second)), new(HotKeys).Copy(0)}, 1)
	if len(top.ByBytes) != 1 || top.ByBytes[0].Key != "large" || top.ByBytes[0].BytesError != 0 || top.Sampled != 1 {
		t.Errorf("%+v", top)
	}
	if top.ByRequests[0].Requests != 10 || top.Requests != 3001 {
		t.Errorf("%+v", top.ByRequests)
	}
}

func TestOldTrafficFades(t *testing.T) {
	t.Parallel()
	var h HotKeys
	h.Tick(1e9)
	h.Add(KeyOf([]byte("old")), 1, 1)
	h.Tick(2e9)
	if top := MergeHotKeys([]*KeyCounts{h.Copy(25e8)}, 5); len(top.ByRequests) != 1 {
		t.Errorf("a second later: %+v", top)
	}
	h.Tick(3e9)
	h.Add(KeyOf([]byte("new")), 1, 1)
	if top := MergeHotKeys([]*KeyCounts{h.Copy(35e8)}, 5); len(top.ByRequests) != 1 || top.ByRequests[0].Key != "new" {
		t.Errorf("two seconds later: %+v", top)
	}
}

func TestLongKeysAreCut(t *testing.T) {
	t.Parallel()
	var h HotKeys
	h.Tick(1e9)
	long := slices.Repeat([]byte("x"), 1000)
	for _, last := range "ab" {
		h.Add(KeyOf(append(long, byte(last))), 1, 1)
	}
	top := MergeHotKeys([]*KeyCounts{h.Copy(2e9)}, 5)
	if len(top.ByRequests) != 2 || top.ByRequests[0].Length != 1001 || len(top.ByRequests[0].Key) != maxKeyBytes {
		t.Errorf("%+v", top.ByRequests)
	}
}

// TestSamplerFollowsTheLoad holds the bound on samples when the load grows from one tick to the
// next, and that all requests are samples again when it is gone.
func TestSamplerFollowsTheLoad(t *testing.T) {
	t.Parallel()
	var s Sampler
	for tick := range 100 {
		requests, taken := 100000, 0
		if tick >= 50 {
			requests = 10
		}
		for range requests {
			if s.Next() {
				s.Take()
				taken++
			}
		}
		if taken > 6*samplesPerTick || tick > 5 && taken > samplesPerTick*3/2 || tick > 5 && tick < 50 && taken < samplesPerTick/3 {
			t.Errorf("tick %d: %d samples", tick, taken)
		}
		if tick > 90 && taken != requests {
			t.Errorf("tick %d: %d samples of %d", tick, taken, requests)
		}
		s.Tick()
	}
}

// BenchmarkHotKeys is what a sample costs.
func BenchmarkHotKeys(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 1, 1000000)
	keys := make([][]byte, 1<<16)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key:%012d", zipf.Uint64())
	}
	var h HotKeys
	for i := range b.N {
		h.Add(KeyOf(keys[i%len(keys)]), 32, 100)
	}
}
