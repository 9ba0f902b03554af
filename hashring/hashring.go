// Package hashring decides which server of a pool owns a key:
//
//	ring, err := hashring.New(hashring.Config{Hash: "fnv1a_64", Distribution: "ketama", Servers: servers})
//	owner := servers[ring.Index(key)]
//
// A Ring is built from a pool's servers, a hash function and a distribution,
// and never changes: when a server is ejected, Without makes another Ring. With the
// distributions ketama, modula and random it places every key exactly as
// twemproxy (nutcracker) 0.5.0 does, its quirks included, so that a pool can
// change its proxy and keep its data. The hash xxhash64 and the distribution
// bounded are this package's own.
//
// # Choosing a hash
//
// The hash fnv1a_64, twemproxy's default, hardly moves the high bits for the
// last two or three bytes of a key. Ketama looks at the high bits first, so
// short keys that differ in a number at their end clump: of key-0 to key-99,
// nine tenths may be on one server. It evens out over many keys. The hashes
// xxhash64, murmur, md5 and jenkins have no such weakness. Warn names
// combinations that are worse.
//
// # What is hashed
//
// The whole key, or what Config.HashTag and Config.Together make of it: see Ring.Part.
//
// # Distributions
//
// Ketama gives each server 160 points on a circle, more or fewer by weight; a
// key belongs to the next point. Modula takes the remainder of the hash by the
// sum of the weights, which moves nearly every key when a server leaves.
// Random takes any server, whatever the key and the weights. Bounded is
// consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam,
// https://arxiv.org/abs/1608.01350): no server gets more than 1.10 times its
// share of 4096 partitions, rounded up to whole partitions. Under bounded a
// server of weight w stands as w servers of weight 1, after the weights are
// divided by their common factors; what is left may sum to 128 at most.
package hashring

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// A Server is one server on the ring.
type Server struct {
	Name   string // what the ring hashes, and what it is sorted by
	Weight int    // share of the keys in proportion to the others', 1 to 2147483647
}

// Config is what a Ring is built from.
type Config struct {
	Hash         string // one of HashNames
	Distribution string // one of DistributionNames
	HashTag      string // two bytes, opening and closing, or "" for none
	UnsignedChar bool   // hash as twemproxy built for ARM does; see LookupHash

	// Together lists groups of keys that have no hash tag in common and belong on
	// one server all the same. Of several patterns that a key matches, the one with the
	// longest text before its first * counts, and of those the first.
	Together []Together

	// Servers in the order of Compare, which is also the index that the Ring
	// answers with. At least one, no two of one name.
	Servers []Server
}

// distribution is what Index does with a hash value.
type distribution uint8

const (
	single distribution = iota // one server configured: nothing to decide
	ketama
	modula
	random
	bounded
)

// fourKeys says whether the hash can be computed for four keys at once.
type fourKeys uint8

const (
	oneByOne     fourKeys = iota
	fourSigned            // fnv1a_64 as in an x86 build of twemproxy
	fourUnsigned          // fnv1a_64 as in an ARM build
)

var distributionNames = [...]string{ketama: "ketama", modula: "modula", random: "random", bounded: "bounded"}

// DistributionNames returns the distributions that New knows, those of
// twemproxy first. The slice is the caller's.
func DistributionNames() []string {
	return slices.Clone(distributionNames[ketama:])
}

// Compare orders the names of a pool's servers as twemproxy does: shorter
// ones first, those of one length by their bytes. It returns a negative
// number, zero or a positive number as cmp.Compare does.
func Compare(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// A Ring maps keys to servers. It is immutable: all its methods may be called
// from any goroutine.
type Ring struct {
	// How a key becomes a hash value.
	hash      Hash
	four      fourKeys
	together  *together // nil for none
	tagged    bool
	open, end byte // the two bytes of the hash tag, if tagged

	// How a hash value becomes a server: the structure of one distribution.
	how        distribution
	continuum  continuum   // ketama
	partitions *partitions // bounded
	weighted   modulaList  // modula
	choices    []uint32    // random: indices of the live servers

	// What the ring was built from.
	rule    rule
	named   distribution // how, unless there is a single server
	live    []bool
	servers []Server // the full list; shared by all rings of a pool
}

// New returns a ring of all servers of cfg. It keeps no reference to
// cfg.Servers. The error says which setting is wrong, in the words of the
// configuration.
func New(cfg Config) (*Ring, error) {
	named := slices.Index(distributionNames[:], cfg.Distribution)
	if named < int(ketama) {
		return nil, fmt.Errorf("distribution %q: want one of %s", cfg.Distribution, strings.Join(DistributionNames(), ", "))
	}
	hash, ok := LookupHash(cfg.Hash, !cfg.UnsignedChar)
	if !ok {
		return nil, fmt.Errorf("hash %q: want one of %s", cfg.Hash, strings.Join(HashNames(), ", "))
	}
	if n := len(cfg.HashTag); n != 0 && n != 2 {
		return nil, fmt.Errorf(`hash_tag %q: want two bytes, such as "{}"`, cfg.HashTag)
	}
	if err := checkServers(cfg.Servers); err != nil {
		return nil, err
	}
	if distribution(named) == bounded {
		if err := checkBounded(cfg.Servers); err != nil {
			return nil, err
		}
	}

	together, err := newTogether(cfg.Together)
	if err != nil {
		return nil, err
	}
	r := &Ring{hash: hash, four: fourKeysOf(cfg), together: together, servers: slices.Clone(cfg.Servers), named: distribution(named), rule: ruleOf(cfg)}
	if cfg.HashTag != "" {
		r.tagged, r.open, r.end = true, cfg.HashTag[0], cfg.HashTag[1]
	}
	return r.Without(nil), nil
}

func fourKeysOf(cfg Config) fourKeys {
	switch {
	case cfg.Hash != "fnv1a_64":
		return oneByOne
	case cfg.UnsignedChar:
		return fourUnsigned
	}
	return fourSigned
}

func checkServers(servers []Server) error {
	if len(servers) == 0 {
		return errors.New("servers: want at least one")
	}
	var total int64
	for i, s := range servers {
		if s.Weight < 1 || s.Weight > math.MaxInt32 {
			return fmt.Errorf("server %q: weight %d: want 1 to %d", s.Name, s.Weight, math.MaxInt32)
		}
		total += int64(s.Weight)
		if i == 0 {
			continue
		}
		before := servers[i-1].Name
		switch c := Compare(before, s.Name); {
		case c == 0:
			return fmt.Errorf("server %q: two servers of one name", s.Name)
		case c > 0:
			return fmt.Errorf("server %q: belongs before %q: servers must be in the order of Compare", s.Name, before)
		}
	}
	if total > math.MaxUint32 {
		return fmt.Errorf("sum of weights %d: want at most %d", total, uint32(math.MaxUint32))
	}
	return nil
}

// Index returns the index into Config.Servers of the server that owns key.
// Under the distribution random that is a different one at every call.
//
// It allocates nothing, takes no lock, and does not keep key.
func (r *Ring) Index(key []byte) int {
	switch r.how {
	case ketama:
		return r.continuum.owner(r.sum(key))
	case bounded:
		return int(r.partitions[r.sum(key)%boundedPartitions])
	case modula:
		return r.weighted.owner(r.sum(key))
	case random:
		return int(r.choices[rand.Uint32N(uint32(len(r.choices)))])
	default:
		return 0
	}
}

// Indices is Index of several keys: it sets owners[i] to the owner of keys[i]. Both
// slices must have the same length. Under ketama with fnv1a_64 that costs less than one
// Index after the other.
func (r *Ring) Indices(keys [][]byte, owners []int) {
	owners = owners[:len(keys)]
	if r.how == ketama && r.four != oneByOne {
		for len(keys) >= 4 {
			var sums [4]uint32
			r.sumFour((*[4][]byte)(keys), &sums)
			for i, sum := range sums {
				owners[i] = r.continuum.owner(sum)
			}
			keys, owners = keys[4:], owners[4:]
		}
	}
	for i, key := range keys {
		owners[i] = r.Index(key)
	}
}

// sumFour is sum of four keys.
func (r *Ring) sumFour(keys *[4][]byte, sums *[4]uint32) {
	if r.tagged || r.together != nil {
		parts := *keys
		for i, key := range parts {
			parts[i] = r.part(key)
		}
		keys = &parts
	}
	if r.four == fourSigned {
		fnv1ax64x4[int8](keys, sums)
	} else {
		fnv1ax64x4[uint8](keys, sums)
	}
	for i := range keys {
		if len(keys[i]) == 0 {
			sums[i] = 0
		}
	}
}

// sum returns the hash value of the part of key that is hashed.
func (r *Ring) sum(key []byte) uint32 {
	if r.tagged || r.together != nil {
		key = r.part(key)
	}
	if len(key) == 0 {
		return 0
	}
	return r.hash(key)
}

// Without returns a ring of the same pool on which the servers marked in down
// are missing, as twemproxy rebuilds its ring after an ejection. Down is
// indexed as Config.Servers and always counts from the full list, whichever
// ring of the pool the method is called on; what lies beyond its end is not
// down. So Without(nil) is the full ring again.
//
// When every server is down, the result is the ring itself: no server is left
// to take the keys over.
//
// Building a ring takes about 0.1 milliseconds for four servers under ketama, 5
// for a hundred; 1 and 20 milliseconds under bounded. That is too long for an
// event loop.
func (r *Ring) Without(down []bool) *Ring {
	live, n := make([]bool, len(r.servers)), 0
	for i := range live {
		if live[i] = i >= len(down) || !down[i]; live[i] {
			n++
		}
	}
	if n == 0 || slices.Equal(live, r.live) {
		return r
	}

	next := &Ring{
		hash: r.hash, four: r.four, together: r.together, tagged: r.tagged, open: r.open, end: r.end,
		how: r.named, named: r.named, servers: r.servers, live: live, rule: r.rule,
	}
	switch r.named {
	case ketama:
		next.continuum = newContinuum(r.servers, live)
	case modula:
		next.weighted = newModulaList(r.servers, live)
	case bounded:
		next.partitions = newPartitions(r.servers, live)
	case random:
		next.choices = liveIndices(live)
	}
	if len(r.servers) == 1 {
		// twemproxy asks neither tag nor hash then.
		next.how = single
	}
	return next
}

// liveIndices returns the indices of the live servers.
func liveIndices(live []bool) []uint32 {
	var indices []uint32
	for i, ok := range live {
		if ok {
			indices = append(indices, uint32(i))
		}
	}
	return indices
}

// modulaList is modula's list of servers, in which each server comes as often
// as its weight says (twemproxy's nc_modula.c). Weights may be large, so only
// the position at which each server's run ends is kept.
type modulaList struct {
	ends   []uint32 // ascending; the last one is the list's length
	owners []uint32 // owners[i] has the positions before ends[i], from ends[i-1] on
}

func newModulaList(servers []Server, live []bool) modulaList {
	s := modulaList{owners: liveIndices(live)}
	var end uint32
	for _, i := range s.owners {
		end += uint32(servers[i].Weight)
		s.ends = append(s.ends, end)
	}
	return s
}

// owner returns the server at position h modulo the list's length.
func (s *modulaList) owner(h uint32) int {
	position := h % s.ends[len(s.ends)-1]
	low, high := 0, len(s.ends)-1 // the run is in low..high
	for low < high {
		if mid := int(uint(low+high) >> 1); position < s.ends[mid] {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return int(s.owners[low])
}
