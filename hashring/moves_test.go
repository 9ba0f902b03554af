package hashring

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestMovesAreNamed(t *testing.T) {
	t.Parallel()
	cfg := func(change func(*Config), names ...string) *Ring {
		c := Config{Hash: "xxhash64", Distribution: "ketama", HashTag: "{}", Servers: named(names...)}
		if change != nil {
			change(&c)
		}
		return mustNew(t, c)
	}
	with := func(hash, distribution string) func(*Config) {
		return func(c *Config) { c.Hash, c.Distribution = hash, distribution }
	}
	tag := func(c *Config) { c.HashTag = "" }
	pattern := func(c *Config) { c.Together = []Together{{Name: "x", Patterns: []string{"x:*"}}} }
	for _, test := range []struct {
		name     string
		was, now *Ring
		sampled  bool
		want     string
	}{
		{"nothing", cfg(nil, "a", "b"), cfg(nil, "a", "b"), false, "no keys"},
		{"another server", cfg(nil, "a"), cfg(nil, "b"), false, "100 % of keys (a -> b: 100 %)"},
		{"one server with any rules", cfg(with("md5", "modula"), "a"), cfg(pattern, "a"), false, "no keys"},
		{"one to two", cfg(nil, "a"), cfg(with("xxhash64", "modula"), "a", "b"), false, "50.0 % of keys (a -> b: 50.0 %)"},
		{"two to one", cfg(with("xxhash64", "bounded"), "a", "b"), cfg(nil, "a"), false, "48.3 % of keys (b -> a: 48.3 %)"},
		{"a tag", cfg(nil, "a", "b"), cfg(tag, "a", "b"), true, "keys with a hash tag (hash_tag)"},
		{"patterns", cfg(nil, "a", "b"), cfg(pattern, "a", "b"), true, "keys that match a pattern (together)"},
		{"bytes", cfg(with("fnv1a_64", "ketama"), "a", "b"), cfg(func(c *Config) { c.Hash, c.UnsignedChar = "fnv1a_64", true }, "a", "b"), true, "keys with bytes from 0x80 on (hash_signed_char)"},
		{"bytes that a hash knows no sign of", cfg(nil, "a", "b"), cfg(func(c *Config) { c.UnsignedChar = true }, "a", "b"), true, "no keys"},
		{"random", cfg(with("md5", "random"), "a", "b"), cfg(with("md5", "random"), "a", "b", "c"), false, "no keys"},
		{"to random", cfg(nil, "a", "b"), cfg(with("md5", "random"), "a", "b"), false, "all keys (the distribution random has no place for a key)"},
		{"random of one", cfg(nil, "a"), cfg(with("md5", "random"), "a"), false, "no keys"},
		{"a server in modula", cfg(with("md5", "modula"), "a", "b"), cfg(with("md5", "modula"), "a", "b", "c"), true, "66.3 % of keys (b -> a: 16.7 %, b -> c: 16.7 %, a -> c: 16.6 %, a -> b: 16.4 %)"},
	} {
		m := Moves(test.was, test.now)
		if m.String() != test.want || (m.Sampled > 0) != test.sampled {
			t.Errorf("%s: %v, of %d sampled keys; want %s", test.name, m, m.Sampled, test.want)
		}
		if m.Any() != (test.want != "no keys") {
			t.Errorf("%s: Any is %t", test.name, m.Any())
		}
	}
}

func TestManyMovesAreShortened(t *testing.T) {
	t.Parallel()
	was, now := shards(8), shards(8)
	now[0].Name = "sharda"
	sortServers(now)
	m := Moves(mustNew(t, Config{Hash: "md5", Distribution: "ketama", Servers: was}), mustNew(t, Config{Hash: "md5", Distribution: "modula", Servers: now}))
	if got, want := m.String(), fmt.Sprintf(", and %d more pairs of servers)", len(m.Pairs)-shownPairs); len(m.Pairs) < 50 || got[len(got)-len(want):] != want {
		t.Errorf("%d pairs: %s", len(m.Pairs), got)
	}
	for part, want := range map[float64]string{0: "0 %", 1: "100 %", 0.0001: "less than 0.1 %", 0.9999: "more than 99.9 %", 0.12449: "12.4 %", 0.0005: "0.1 %"} {
		if got := Percent(part); got != want {
			t.Errorf("Percent(%v) = %s, want %s", part, got, want)
		}
	}
}

// The walk over two circles is what each of their arcs says, and what keys do.
func TestMovesOfTwoCirclesAreThoseOfTheirArcs(t *testing.T) {
	t.Parallel()
	l := newRandomInput(5)
	for range 30 {
		cfg := l.pool(9)
		cfg.Distribution, cfg.Hash = "ketama", "xxhash64"
		was := mustNew(t, cfg)
		other := l.pool(9)
		cfg.Servers = append(cfg.Servers[:l.IntN(len(cfg.Servers))], other.Servers...)
		sortServers(cfg.Servers)
		cfg.Servers = slices.CompactFunc(cfg.Servers, func(a, b Server) bool { return a.Name == b.Name })
		now := mustNew(t, cfg)
		if l.IntN(3) == 0 {
			now = now.Without(l.down(len(cfg.Servers)))
		}
		m := Moves(was, now)
		if m.Sampled > 0 {
			t.Fatalf("%v and %v were sampled", was.servers, now.servers)
		}
		want, same := arcs(was, now)
		sum := 0.0
		for _, p := range m.Pairs {
			sum += p.Part
			if got := want[Move{From: p.From, To: p.To}]; math.Abs(got-p.Part) > 1e-9 {
				t.Errorf("%v, want %v", p, got)
			}
		}
		if len(want) != len(m.Pairs) || math.Abs(sum+same-1) > 1e-9 || math.Abs(m.Part-sum) > 1e-9 {
			t.Errorf("%d pairs with %v of the keys, %v stay; want %d pairs", len(m.Pairs), sum, same, len(want))
		}
		if len(cfg.Together) > 0 || cfg.HashTag != "" {
			continue
		}
		moved := 0.0
		sample(func(key []byte) {
			if was.servers[was.Index(key)].Name != now.servers[now.Index(key)].Name {
				moved += 1. / sampleKeys
			}
		})
		if math.Abs(moved-m.Part) > 0.01 {
			t.Errorf("%.3f of a sample move, want %.3f", moved, m.Part)
		}
	}
}

// arcs returns what moves and what stays, by the ends of all arcs.
func arcs(was, now *Ring) (moves map[Move]float64, same float64) {
	ends := []uint32{math.MaxUint32}
	for _, r := range []*Ring{was, now} {
		for value := range r.Circle() {
			ends = append(ends, value)
		}
	}
	slices.Sort(ends)
	moves, before := map[Move]float64{}, int64(-1)
	for _, end := range slices.Compact(ends) {
		part := float64(int64(end)-before) / (1 << 32)
		before = int64(end)
		names := Move{From: was.servers[was.continuum.search(end).owner].Name, To: now.servers[now.continuum.search(end).owner].Name}
		if names.From == names.To {
			same += part
		} else {
			moves[names] += part
		}
	}
	return moves, same
}

// Whatever the rings are, what keys do is what Moves says.
func TestMovesAreWhatKeysDo(t *testing.T) {
	t.Parallel()
	l := newRandomInput(6)
	for range 25 {
		a, b := l.pool(5), l.pool(5)
		a.Together, b.Together, a.HashTag, b.HashTag = nil, nil, "", ""
		for _, cfg := range []*Config{&a, &b} {
			if l.IntN(3) == 0 && checkBounded(cfg.Servers) == nil {
				cfg.Distribution = "bounded"
			}
			if l.IntN(2) == 0 {
				cfg.Hash = a.Hash
			}
		}
		if l.IntN(2) == 0 {
			b.Servers = append(b.Servers[:0:0], a.Servers...)
		}
		was, now := mustNew(t, a), mustNew(t, b)
		if !was.spreads() || !now.spreads() || slices.Contains([]string{"crc16", "crc32", "fnv1_64", "fnv1a_64", "fnv1_32", "fnv1a_32"}, a.Hash) {
			continue // which place such keys unevenly
		}
		m, moved, keys := Moves(was, now), 0.0, 20_000
		for i := range keys {
			key := fmt.Appendf(nil, "%x:%d", i*7919, l.Uint64())
			if was.servers[was.Index(key)].Name != now.servers[now.Index(key)].Name {
				moved += 1 / float64(keys)
			}
		}
		if math.Abs(moved-m.Part) > 0.03 {
			t.Errorf("%s %s to %s %s: %v of keys move, want %v", a.Hash, a.Distribution, b.Hash, b.Distribution, moved, m.Part)
		}
	}
}
