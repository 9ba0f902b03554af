package hashring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// benchSize is how many inputs a benchmark walks through: enough that no branch
// is learnt, and a power of two, so that walking costs nothing.
const benchSize = 4096

// benchKeys are keys of ten bytes.
func benchKeys() [][]byte {
	keys := make([][]byte, benchSize)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key:%06d", rand.IntN(1000000))
	}
	return keys
}

// BenchmarkIndex is the cost of placing a request: hash and lookup of
// keys of ten bytes among four servers, without a tag unless it says so.
func BenchmarkIndex(b *testing.B) {
	run := func(name string, cfg Config) {
		b.Run(name, func(b *testing.B) {
			r, keys := mustNew(b, cfg), benchKeys()
			b.ReportAllocs()
			for i := uint(0); b.Loop(); i++ {
				r.Index(keys[i%benchSize])
			}
		})
	}
	for _, hash := range HashNames() {
		run("ketama/"+hash, Config{Hash: hash, Distribution: "ketama", Servers: shards(4)})
	}
	for _, distribution := range []string{"modula", "random", "bounded"} {
		run(distribution+"/xxhash64", Config{Hash: "xxhash64", Distribution: distribution, Servers: shards(4)})
	}
	run("ketama/xxhash64/tag", Config{Hash: "xxhash64", Distribution: "ketama", HashTag: "{}", Servers: shards(4)})
	run("ketama/xxhash64/100servers", Config{Hash: "xxhash64", Distribution: "ketama", Servers: shards(100)})
}

// BenchmarkIndices is BenchmarkIndex of sixteen keys at once.
func BenchmarkIndices(b *testing.B) {
	const batch = 16
	for _, hash := range []string{"fnv1a_64", "xxhash64"} {
		for _, tag := range []string{"", "{}"} {
			b.Run(hash+tag, func(b *testing.B) {
				r, keys := mustNew(b, Config{Hash: hash, Distribution: "ketama", HashTag: tag, Servers: shards(4)}), benchKeys()
				owners := make([]int, batch)
				b.ReportAllocs()
				for i := uint(0); b.Loop(); i++ {
					r.Indices(keys[i*batch%benchSize:][:batch], owners)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/key")
			})
		}
	}
}

// BenchmarkLookup compares the lookup through the tables with binary
// search over the bare values; hashing is not included.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{4, 100} {
		servers := shards(n)
		c := newContinuum(servers, slices.Repeat([]bool{true}, n))
		var values []uint32
		for _, p := range c.circle() {
			values = append(values, p.value)
		}
		hashes := make([]uint32, benchSize)
		for i := range hashes {
			hashes[i] = rand.Uint32()
		}
		sum := 0
		b.Run(fmt.Sprintf("tables/%dservers", n), func(b *testing.B) {
			for i := uint(0); b.Loop(); i++ {
				sum += c.owner(hashes[i%benchSize])
			}
		})
		b.Run(fmt.Sprintf("binary/%dservers", n), func(b *testing.B) {
			for i := uint(0); b.Loop(); i++ {
				sum += lowerBound(values, hashes[i%benchSize])
			}
		})
		if sum == 0 {
			b.Log("no server but the first was found")
		}
	}
}

// lowerBound is the search that the tables replace.
func lowerBound(values []uint32, h uint32) int {
	low, high := 0, len(values)
	for low < high {
		if mid := int(uint(low+high) >> 1); values[mid] < h {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// BenchmarkWithout is the building of a ring, as when a server is ejected.
func BenchmarkWithout(b *testing.B) {
	for _, distribution := range DistributionNames() {
		for _, n := range []int{4, 100} {
			r := mustNew(b, Config{Hash: "xxhash64", Distribution: distribution, Servers: shards(n)})
			b.Run(fmt.Sprintf("%s/%dservers", distribution, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r.Without([]bool{true})
				}
			})
		}
	}
}
