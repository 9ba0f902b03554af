package session_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ringway/conf"
	"ringway/hashring"
	"ringway/internal/redistest"
)

// togetherConfig is a configuration of a pool of the given servers, whose keys queue:*, queues,
// and bull:NAME:* are together.
func togetherConfig(t *testing.T, servers []*redistest.Server) *conf.Config {
	t.Helper()
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].HashTag = "{}"
	cfg.Pools[0].Together = []hashring.Together{{Patterns: []string{"bull:(*):*"}}, {Name: "jobs", Patterns: []string{"queue:*", "queues"}}}
	return cfg
}

// togetherPart returns what places a key under togetherConfig. It shares nothing with
// package hashring.
func togetherPart(key string) string {
	if rest, ok := strings.CutPrefix(key, "bull:"); ok {
		if name, _, ok := strings.Cut(rest, ":"); ok && name != "" {
			key = name
		}
	} else if key == "queues" || strings.HasPrefix(key, "queue:") {
		key = "jobs"
	}
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			return tag
		}
	}
	return key
}

// Requests of every kind look for a key on the shard of its part: batches, single requests, those
// that are cut by keys, transactions and scripts, before and after an ejection.
func TestEveryRequestGoesByWhatIsTogether(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 4)
	cfg := togetherConfig(t, servers)
	cfg.Pools[0].AutoEjectHosts = true
	p := serve(t, cfg)
	c := p.dial()
	rnd := rand.New(rand.NewPCG(16, 9))
	plain := cfg.Pools[0].Ring()
	plain.HashTag, plain.Together = "", nil
	ring, err := hashring.New(plain)
	if err != nil {
		t.Fatal(err)
	}
	check := func(round int, ring *hashring.Ring) {
		t.Helper()
		var pipelined strings.Builder
		mset, written := []string{"MSET"}, map[string]string{}
		note := func(how string) string {
			key := togetherKey(rnd, fmt.Sprint(how, round))
			written[key] = how
			return key
		}
		for range 70 {
			pipelined.WriteString(encode("SET", note("batch"), "1"))
			mset = append(mset, note("mset"), "1")
		}
		c.Send(pipelined.String())
		c.expect(slices.Repeat([]string{"+OK\r\n"}, 70)...)
		for _, args := range [][]string{mset, {"SET", note("single"), "1"}, {"SET", note("single"), "1"}} {
			if got := c.Do(args...); got != "+OK\r\n" {
				t.Errorf("%.20q: %q", args, got)
			}
		}
		for range 10 {
			if got := c.Do("EVAL", "return redis.call('SET', KEYS[1], 1)", "1", note("script")); got != "+OK\r\n" {
				t.Errorf("EVAL: %q", got)
			}
			c.Do("MULTI")
			c.Do("SET", note("transaction"), "1")
			if got := c.Do("EXEC"); got != "*1\r\n+OK\r\n" {
				t.Errorf("EXEC: %q", got)
			}
		}
		for key, how := range written {
			want := ring.Index([]byte(togetherPart(key)))
			if got := p.server.Pools()[0].Map().Index([]byte(key)); got != want {
				t.Errorf("%q belongs to shard %d, want %d", key, got, want)
			}
			if servers[want].Do("EXISTS", key) != ":1\r\n" {
				t.Errorf("%s: %q is not on shard %d, where %q belongs", how, key, want, togetherPart(key))
			}
		}
	}
	check(0, ring)
	jobs := ring.Index([]byte("jobs"))
	servers[jobs].Kill()
	eventually(t, "the shard of queue:* is ejected", func() bool {
		c.Do("LLEN", "queue:a")
		return p.server.Pools()[0].Map().Ring().Index([]byte("queue:a")) != jobs
	})
	eventually(t, "its keys are on another shard", func() bool { return c.Do("LLEN", "queue:a") == ":0\r\n" })
	down := make([]bool, len(servers))
	down[jobs] = true
	check(1, ring.Without(down))
}

// togetherKey returns a key of any kind, which ends in end.
func togetherKey(rnd *rand.Rand, end string) string {
	n := rnd.IntN(1000)
	return fmt.Sprintf([...]string{"bull:mail%d:%s", "bull:{t%d}:%s", "bull:%d%s", "queue:%d:{%s}", "queues%d%s", "user:%d:%s", "{user%d}:%s", "bull::%d%s"}[rnd.IntN(8)], n, end)
}

func TestKeysThatBelongTogetherCanBeInOneRequest(t *testing.T) {
	t.Parallel()
	p := serve(t, togetherConfig(t, redistest.StartN(t, 4)))
	c := p.dial()
	for _, args := range [][]string{
		{"EVAL", "redis.call('LPUSH', KEYS[1], 'j') return redis.call('SADD', KEYS[2], 'a')", "2", "queue:a", "queues"},
		{"RPOPLPUSH", "queue:a", "queue:{b}"},
		{"BRPOPLPUSH", "queue:{b}", "queue:c", "1"},
		{"BLPOP", "queue:a", "queue:b", "queue:c", "1"},
		{"MSETNX", "bull:mail:id", "1", "bull:mail:7", "2", "bull:{mail}:8", "3", "{mail}:x", "4"},
		{"RENAME", "bull:mail:id", "bull:mail:{9}"},
		{"SUNIONSTORE", "queue:s", "queues", "queue:{t}"},
	} {
		if got := c.Do(args...); strings.HasPrefix(got, "-") {
			t.Errorf("%q: %q", args, got)
		}
	}
	c.Do("WATCH", "queue:x")
	c.Do("MULTI")
	c.Do("LPUSH", "queue:x", "1")
	c.Do("SADD", "queues", "x")
	if got := c.Do("EXEC"); got != "*2\r\n:1\r\n:1\r\n" {
		t.Errorf("EXEC: %q", got)
	}
	const refused = "CROSSSLOT Keys in request don't hash to the same slot: \"queue:x\" is placed by \"jobs\" of the pattern \"queue:*\", "
	if got := c.Do("RENAME", "queue:x", otherShard(p, "queue:x")); !strings.HasPrefix(got, "-"+refused) {
		t.Errorf("RENAME: %q", got)
	}

	// A client that tracks hears of changes at the shard of the pattern.
	c.Do("HELLO", "3")
	c.Do("CLIENT", "TRACKING", "ON")
	c.Do("LLEN", "queue:x")
	p.dial().Do("LPUSH", "queue:x", "2")
	c.expect(invalidation("queue:x"))
}

// otherShard returns a key on another shard than that of key.
func otherShard(p *proxy, key string) string {
	m := p.server.Pools()[0].Map()
	for i := 0; ; i++ {
		if other := fmt.Sprint("other:", i); m.Index([]byte(other)) != m.Index([]byte(key)) {
			return other
		}
	}
}
