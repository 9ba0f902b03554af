package hashring

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/buraksezer/consistent"
)

// randomInput makes names, weights, keys and so on from a seeded source.
type randomInput struct{ *rand.Rand }

func newRandomInput(seed uint64) randomInput { return randomInput{rand.New(rand.NewPCG(seed, 1))} }

func (l randomInput) bytes(maxLen int) []byte {
	b := make([]byte, l.IntN(maxLen+1))
	for i := range b {
		b[i] = byte(l.Uint32())
	}
	return b
}

// key is anything from random bytes to keys as applications have them.
func (l randomInput) key(tag string) []byte {
	switch l.IntN(5) {
	case 4:
		return []byte(l.word(12))
	case 0:
		return fmt.Appendf(nil, "key-%d", l.IntN(100000))
	case 1:
		if tag != "" {
			return slices.Concat(l.bytes(4), []byte(tag[:1]), l.bytes(4), []byte(tag[1:]), l.bytes(4))
		}
	case 2:
		return l.bytes(20)
	}
	return l.bytes(300)
}

func (l randomInput) name() string {
	switch l.IntN(6) {
	case 0:
		return fmt.Sprintf("127.0.0.1:%d", 1+l.IntN(65535))
	case 1:
		return fmt.Sprintf("/run/redis/%d.sock:", l.IntN(1000))
	case 2:
		return fmt.Sprintf("::1:%d", 1+l.IntN(65535))
	case 3: // around the length at which twemproxy cuts names off
		return strings.Repeat("n", 262+l.IntN(12)) + fmt.Sprint(l.IntN(10))
	case 4:
		return fmt.Sprintf("%x", l.bytes(8))
	default:
		return fmt.Sprintf("shard%02d", l.IntN(100))
	}
}

func (l randomInput) weight(equal bool) int {
	switch {
	case equal:
		return 1
	case l.IntN(20) == 0:
		return 1 + l.IntN(500)
	default:
		return 1 + l.IntN(10)
	}
}

// pool is a Config with up to size servers.
func (l randomInput) pool(size int) Config {
	pick := func(s []string) string { return s[l.IntN(len(s))] }
	cfg := Config{
		Hash:         pick(HashNames()),
		Distribution: pick([]string{"ketama", "modula"}),
		HashTag:      pick([]string{"", "{}", "$$", "\xfe\xff", "ab"}),
		UnsignedChar: l.IntN(3) == 0,
		Together:     l.together(),
	}
	names, equal := map[string]bool{}, l.IntN(2) == 0
	for range 1 + l.IntN(size) {
		names[l.name()] = true
	}
	for name := range names {
		cfg.Servers = append(cfg.Servers, Server{Name: name})
	}
	// Sorted before weights are drawn: the order of a map is not the seed's.
	sortServers(cfg.Servers)
	for i := range cfg.Servers {
		cfg.Servers[i].Weight = l.weight(equal)
	}
	return cfg
}

// down marks some of n servers, but not all.
func (l randomInput) down(n int) []bool {
	down := make([]bool, n)
	for i := range down {
		down[i] = l.IntN(3) == 0
	}
	down[l.IntN(n)] = false
	return down
}

func sortServers(servers []Server) {
	slices.SortFunc(servers, func(a, b Server) int { return Compare(a.Name, b.Name) })
}

// named returns servers of those names and of weight 1, in index order.
func named(names ...string) []Server {
	var servers []Server
	for _, name := range names {
		servers = append(servers, Server{name, 1})
	}
	sortServers(servers)
	return servers
}

// shards returns n servers of weight 1.
func shards(n int) []Server {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("shard%d", i))
	}
	return named(names...)
}

func TestRandomPoolsPlaceKeysAsTheModel(t *testing.T) {
	t.Parallel()
	pools := 200
	if testing.Short() {
		pools = 30
	}
	for seed := range uint64(pools) {
		l := newRandomInput(seed)
		cfg := l.pool(12)
		full, n := mustNew(t, cfg), len(cfg.Servers)
		for _, down := range [][]bool{nil, l.down(n), l.down(n)} {
			m, r := newModel(cfg, down), full.Without(down)
			for range 20 {
				key := l.key(cfg.HashTag)
				if got, want := r.Index(key), m.index(key); got != want {
					t.Fatalf("seed %d, %s, %s, down %v: %q is on %d, want %d", seed, cfg.Hash, cfg.Distribution, down, key, got, want)
				}
			}
		}
	}
}

func TestHashesAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	l := newRandomInput(7)
	for _, name := range HashNames() {
		for _, signed := range []bool{true, false} {
			f, _ := LookupHash(name, signed)
			for range 500 {
				key := append(l.bytes(300), byte(l.Uint32())) // never empty
				if got, want := f(key), modelHash(name, key, signed); got != want {
					t.Fatalf("%s(%q), signed %v = %d, want %d", name, key, signed, got, want)
				}
			}
		}
	}
}

func TestPointCountsAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	l := newRandomInput(8)
	for range 20000 {
		n := 1 + l.IntN(300)
		weight := 1 + l.IntN(1+l.IntN(100000))
		total := weight + (n-1)*(1+l.IntN(1+l.IntN(100000)))
		if got, want := ketamaDigests(weight, uint32(total), n), modelDigests(weight, total, n); got != want {
			t.Fatalf("weight %d of %d, %d servers: %d digests, want %d", weight, total, n, got, want)
		}
	}
}

func TestCircleIsTheModelsPointsInOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		cfg := newRandomInput(seed).pool(12)
		cfg.Distribution = "ketama"
		want := newModel(cfg, nil).points
		slices.SortStableFunc(want, func(a, b modelPoint) int { return int(a.value) - int(b.value) })
		var got []modelPoint
		for value, server := range mustNew(t, cfg).Circle() {
			got = append(got, modelPoint{uint64(value), server})
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d points, want %d in the model's order", seed, len(got), len(want))
		}
	}
}

func TestLookupFindsTheFirstPointNotBelow(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 100} {
		servers := shards(n)
		c := newContinuum(servers, slices.Repeat([]bool{true}, n))
		check := func(h uint32) {
			i, _ := slices.BinarySearchFunc(c.circle(), h, func(p point, h uint32) int { return int(int64(p.value) - int64(h)) })
			want := int(c.circle()[i%len(c.circle())].owner)
			if got := c.owner(h); got != want {
				t.Fatalf("%d servers: %d is on %d, want %d", n, h, got, want)
			}
		}
		check(0)
		check(math.MaxUint32)
		for _, p := range c.circle() {
			check(p.value - 1)
			check(p.value)
			check(p.value + 1)
		}
		for prefix := range c.cells {
			check(uint32(prefix) << c.cellShift)
			check(uint32(prefix)<<c.cellShift - 1)
		}
	}
}

func TestIndicesIsIndexOfEachKey(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		l := newRandomInput(seed)
		cfg := l.pool(1 + int(seed%5))
		if seed%2 == 0 {
			cfg.Hash, cfg.Distribution = "fnv1a_64", "ketama"
		}
		r := mustNew(t, cfg)
		keys := make([][]byte, l.IntN(20))
		for i := range keys {
			keys[i] = l.key(cfg.HashTag)
		}
		owners := make([]int, len(keys))
		r.Indices(keys, owners)
		for i, key := range keys {
			if want := r.Index(key); owners[i] != want {
				t.Fatalf("%+v: of %d keys, %q is on %d, want %d", cfg, len(keys), key, owners[i], want)
			}
		}
	}
}

func TestEqualPointsBelongToTheLowerIndex(t *testing.T) {
	t.Parallel()
	// Names that are cut off at the same place have the very same points.
	stem := strings.Repeat("x", maxPointName)
	r := mustNew(t, Config{Hash: "md5", Distribution: "ketama", Servers: named(stem+"a", stem+"b", stem+"c")})
	for i := range 1000 {
		if got := r.Index(fmt.Appendf(nil, "%d", i)); got != 0 {
			t.Fatalf("key %d is on %d, want 0", i, got)
		}
	}
	down := []bool{true, false, false}
	if got := r.Without(down).Index([]byte("k")); got != 1 {
		t.Errorf("with server 0 down: on %d, want 1", got)
	}
}

func TestServerOfTinyWeightHasNoPoints(t *testing.T) {
	t.Parallel()
	r := mustNew(t, Config{Hash: "fnv1a_64", Distribution: "ketama", Servers: []Server{{"a", 100000}, {"b", 1}}})
	points := r.Points()
	if points[0].Points != 316 || points[1].Points != 0 || points[1].Share != 0 {
		t.Errorf("points %+v, want 316 and none", points)
	}
	// Left alone it has all of them.
	if p := r.Without([]bool{true, false}).Points(); p[1].Points != 160 || p[1].Share != 1 || p[0].Live {
		t.Errorf("points without a: %+v, want all of 160 for b", p)
	}
}

func TestEmptyKeyHasHashZero(t *testing.T) {
	t.Parallel()
	for _, hash := range HashNames() {
		r := mustNew(t, Config{Hash: hash, Distribution: "modula", Servers: shards(7)})
		if got := r.Index(nil); got != 0 {
			t.Errorf("%s: the empty key is on %d, want 0", hash, got)
		}
	}
}

func TestSingleServerTakesEveryKey(t *testing.T) {
	t.Parallel()
	for _, distribution := range DistributionNames() {
		r := mustNew(t, Config{Hash: "murmur", Distribution: distribution, HashTag: "{}", Servers: named("only")})
		for _, down := range [][]bool{nil, {false}, {true}} {
			if got := r.Without(down).Index([]byte("{k}")); got != 0 {
				t.Errorf("%s, down %v: on %d", distribution, down, got)
			}
		}
	}
}

func TestRandomReachesLiveServersOnly(t *testing.T) {
	t.Parallel()
	servers := shards(4)
	servers[0].Weight = 1000 // ignored, as twemproxy does
	r := mustNew(t, Config{Hash: "md5", Distribution: "random", Servers: servers}).Without([]bool{false, true})
	var count [4]int
	for range 3000 {
		count[r.Index([]byte("k"))]++
	}
	if count[1] != 0 || min(count[0], count[2], count[3]) < 800 {
		t.Errorf("requests %v, want a thousand each but for none on 1", count)
	}
}

func TestWithoutKeepsTheRestWhereItIs(t *testing.T) {
	t.Parallel()
	// With equal weights, and as many points before as after, twemproxy's
	// ketama moves the keys of the server that leaves and no others.
	r := mustNew(t, Config{Hash: "xxhash64", Distribution: "ketama", Servers: shards(6)})
	for gone := range 6 {
		down := make([]bool, 6)
		down[gone] = true
		less := r.Without(down)
		for i := range 2000 {
			key := fmt.Appendf(nil, "key:%d", i)
			was, is := r.Index(key), less.Index(key)
			if is == gone || was != gone && was != is {
				t.Fatalf("%q moves from %d to %d when %d leaves", key, was, is, gone)
			}
		}
	}
}

func TestWithoutCountsFromTheFullList(t *testing.T) {
	t.Parallel()
	for _, distribution := range []string{"ketama", "modula", "bounded"} {
		r := mustNew(t, Config{Hash: "xxhash64", Distribution: distribution, Servers: shards(5)})
		again := r.Without([]bool{true, true}).Without([]bool{false, true, false, true}).Without([]bool{})
		moved := 0
		for i := range 1000 {
			key := fmt.Appendf(nil, "%d", i)
			if r.Index(key) != again.Index(key) {
				moved++
			}
		}
		if moved != 0 {
			t.Errorf("%s: %d keys are elsewhere after all servers came back", distribution, moved)
		}
	}
}

func TestAllDownLeavesTheRing(t *testing.T) {
	t.Parallel()
	r := mustNew(t, Config{Hash: "md5", Distribution: "ketama", Servers: shards(2)}).Without([]bool{true})
	if got := r.Without([]bool{true, true}); got != r {
		t.Error("a ring without servers is not the ring that was")
	}
}

func TestSharesSumToOneAndPredictKeys(t *testing.T) {
	t.Parallel()
	servers := []Server{{"a", 1}, {"b", 2}, {"c", 3}, {"d", 4}}
	for _, distribution := range DistributionNames() {
		full := mustNew(t, Config{Hash: "xxhash64", Distribution: distribution, Servers: servers})
		for _, r := range []*Ring{full, full.Without([]bool{false, false, true})} {
			const keys = 40000
			var count [4]float64
			for i := range keys {
				count[r.Index(fmt.Appendf(nil, "user:%d", i))] += 1.0 / keys
			}
			sum := 0.0
			for i, p := range r.Points() {
				sum += p.Share
				if math.Abs(p.Share-count[i]) > 0.015 {
					t.Errorf("%s: share of %s is %.3f, of keys %.3f", distribution, p.Server.Name, p.Share, count[i])
				}
				if p.Live != (p.Points > 0) || p.Server != servers[i] {
					t.Errorf("%s: %+v", distribution, p)
				}
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Errorf("%s: shares sum to %v", distribution, sum)
			}
		}
	}
}

func TestNewRefusesWhatCannotBePlaced(t *testing.T) {
	t.Parallel()
	good := Config{Hash: "md5", Distribution: "ketama", Servers: shards(2)}
	test := func(name, want string, change func(*Config)) {
		t.Helper()
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one about %q", name, err, want)
		}
	}
	test("unknown hash", `hash "MD5": want one of one_at_a_time, md5,`, func(c *Config) { c.Hash = "MD5" })
	test("no distribution", `distribution "": want one of ketama, modula, random, bounded`, func(c *Config) { c.Distribution = "" })
	test("long tag", `hash_tag "{"`, func(c *Config) { c.HashTag = "{" })
	test("no servers", "at least one", func(c *Config) { c.Servers = nil })
	test("zero weight", "weight 0", func(c *Config) { c.Servers = []Server{{"a", 0}} })
	test("negative weight", "weight -1", func(c *Config) { c.Servers = []Server{{"a", -1}} })
	test("wrong order", `server "b": belongs before "aa"`, func(c *Config) { c.Servers = []Server{{"aa", 1}, {"b", 1}} })
	test("same name", "two servers of one name", func(c *Config) { c.Servers = []Server{{"a", 1}, {"a", 2}} })
	test("weights over 32 bits", "sum of weights", func(c *Config) {
		c.Servers = []Server{{"a", math.MaxInt32}, {"b", math.MaxInt32}, {"c", math.MaxInt32}}
	})
	test("too heavy for bounded", "sum of weights 129", func(c *Config) {
		c.Distribution, c.Servers = "bounded", []Server{{"a", 1}, {"b", 128}}
	})
}

func TestNewKeepsNoReferenceToItsServers(t *testing.T) {
	t.Parallel()
	servers := shards(3)
	r := mustNew(t, Config{Hash: "md5", Distribution: "ketama", Servers: servers})
	before := r.Without([]bool{true}).Points()
	servers[1].Name = "other"
	if after := r.Without([]bool{true}).Points(); !slices.Equal(before, after) {
		t.Errorf("the ring follows its caller's slice: %+v, then %+v", before, after)
	}
}

func TestCompareOrdersByLengthThenBytes(t *testing.T) {
	t.Parallel()
	names := []string{"", "a", "b", "\xff", "aa", "ab", "b1", "aaa"}
	for i, a := range names {
		for j, b := range names {
			if got, want := Compare(a, b), i-j; got < 0 != (want < 0) || got > 0 != (want > 0) {
				t.Errorf("Compare(%q, %q) = %d", a, b, got)
			}
		}
	}
}

func TestBoundedIsTheLibrarysAnswer(t *testing.T) {
	t.Parallel()
	servers := shards(5)
	r := mustNew(t, Config{Hash: "xxhash64", Distribution: "bounded", Servers: servers})
	library := consistent.New(units(servers, slices.Repeat([]bool{true}, 5)), consistent.Config{
		Hasher: xxh64{}, PartitionCount: boundedPartitions, ReplicationFactor: boundedReplicas, Load: boundedLoad,
	})
	for i := range 2000 {
		key := fmt.Appendf(nil, "key:%d", i)
		if got, want := r.Index(key), int(library.LocateKey(key).(unit).server); got != want {
			t.Fatalf("%q is on %d, the library says %d", key, got, want)
		}
	}
}

func TestBoundedKeepsEveryServerUnderItsBound(t *testing.T) {
	t.Parallel()
	test := func(weights ...int) {
		t.Helper()
		servers, total := shards(len(weights)), 0
		for i, w := range weights {
			servers[i].Weight = w
			total += w
		}
		r := mustNew(t, Config{Hash: "xxhash64", Distribution: "bounded", Servers: servers})
		for i, p := range r.Points() {
			units := weights[i] / commonDivisor(servers)
			mean := boundedPartitions * float64(weights[i]) / float64(total)
			if limit := boundedLoad*mean + float64(units); p.Points > int(limit) {
				t.Errorf("weights %v: %d partitions on %s, want at most %.0f", weights, p.Points, p.Server.Name, limit)
			}
		}
	}
	test(1, 1)
	test(1, 1, 1, 1)
	test(7, 7, 7)
	test(1, 2, 3, 4, 5)
	test(10, 20, 90)
	test(slices.Repeat([]int{1}, maxBoundedUnits)...)
}

func TestBoundedMovesLittleWhenAServerLeaves(t *testing.T) {
	t.Parallel()
	r := mustNew(t, Config{Hash: "xxhash64", Distribution: "bounded", Servers: shards(5)})
	less := r.Without([]bool{false, false, true})
	moved := 0
	for i, was := range r.partitions {
		is := less.partitions[i]
		if is == 2 {
			t.Fatalf("partition %d is on the server that left", i)
		}
		if was != 2 && was != is {
			moved++
		}
	}
	// The bound of the others rises, so a few partitions go home to them.
	if limit := boundedPartitions / 8; moved > limit {
		t.Errorf("%d of %d partitions of other servers moved, want at most %d", moved, boundedPartitions, limit)
	}
}

func TestWarnNamesWhatPlacesBadly(t *testing.T) {
	t.Parallel()
	for _, hash := range HashNames() {
		for _, distribution := range DistributionNames() {
			warning := Warn(hash, distribution)
			switch hash + "+" + distribution {
			case "crc32+ketama", "crc16+ketama":
				if !strings.Contains(warning, hash) {
					t.Errorf("%s, %s: warning %q does not name the hash", hash, distribution, warning)
				}
				continue
			}
			if warning != "" {
				t.Errorf("%s, %s: warning %q", hash, distribution, warning)
			}
			if most, _ := spread(mustNew(t, Config{Hash: hash, Distribution: distribution, Servers: shards(5)})); most > 30 {
				t.Errorf("%s, %s: no warning, with %d %% of the keys on one server", hash, distribution, most)
			}
		}
	}
	// And the two have the weakness that the warning names.
	if most, _ := spread(mustNew(t, Config{Hash: "crc32", Distribution: "ketama", Servers: shards(5)})); most < 95 {
		t.Errorf("crc32: %d %% of the keys on one server, want nearly all", most)
	}
	if _, tens := spread(mustNew(t, Config{Hash: "crc16", Distribution: "ketama", Servers: shards(5)})); tens < 95 {
		t.Errorf("crc16: %d %% of the tens on one server, want nearly all", tens)
	}
}

// spread looks at where 10,000 numbered keys go. It returns, in percent, how
// many are on the server that has most, and how many of the tens that differ
// in the last digit only are on one server.
func spread(r *Ring) (most, tens int) {
	count := make([]int, len(r.servers))
	for ten := range 1000 {
		owners := map[int]bool{}
		for digit := range 10 {
			i := r.Index(fmt.Appendf(nil, "key-%d%d", ten*97, digit))
			count[i]++
			owners[i] = true
		}
		if len(owners) == 1 {
			tens++
		}
	}
	return slices.Max(count) / 100, tens / 10
}

func TestIndexDoesNotAllocate(t *testing.T) {
	key := bytes.Repeat([]byte("{k}"), 5)
	for _, hash := range HashNames() {
		for _, distribution := range DistributionNames() {
			r := mustNew(t, Config{Hash: hash, Distribution: distribution, HashTag: "{}", Servers: shards(4)})
			if n := testing.AllocsPerRun(100, func() { r.Index(key) }); n != 0 {
				t.Errorf("%s, %s: %v allocations", hash, distribution, n)
			}
			keys, owners := [][]byte{key, key, key, key, key}, make([]int, 5)
			if n := testing.AllocsPerRun(100, func() { r.Indices(keys, owners) }); n != 0 {
				t.Errorf("%s, %s: %v allocations for several keys", hash, distribution, n)
			}
		}
	}
}
