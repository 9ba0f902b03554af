package session_test

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// sortedElements returns the reply with the elements of a set sorted, since their order is
// undefined.
func sortedElements(reply string) string {
	lines := strings.Split(reply, "\r\n")
	var elements []string
	for i := 1; i+1 < len(lines); i += 2 {
		elements = append(elements, lines[i]+"\r\n"+lines[i+1])
	}
	sort.Strings(elements)
	return lines[0] + "\r\n" + strings.Join(elements, "\r\n")
}

// Set operations on several shards get the same bytes as from one Redis.
func TestSetOperationsAcrossShardsAreThoseOfOneRedis(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, _ := serveShards(t, 4)
	single := redistest.Start(t)
	for _, protocol := range []string{"2", "3"} {
		through, direct := p.dial(), redistest.Dial(t, "tcp", single.Addr())
		through.Do("HELLO", protocol)
		direct.Do("HELLO", protocol)
		both := func(args ...string) {
			t.Helper()
			want, got := direct.Do(args...), through.Do(args...)
			if args[0][0] == 'S' {
				want, got = sortedElements(want), sortedElements(got)
			}
			if got != want {
				t.Fatalf("%q: %q, want %q", args, got, want)
			}
		}
		both("SET", "string", "x")
		scores := []string{"0", "1", "-1", "3", "0.1", "0.2", "1e100", "-1.5e-9", "inf", "-inf", "1e17", "123456789012345678", "3.0000000000000004", "-0"}
		pick := func(list []string) string { return list[rand.IntN(len(list))] }
		keys := []string{"none"}
		for i := range 12 {
			key := fmt.Sprint("s", i)
			keys = append(keys, key)
			for range rand.IntN(8) {
				both("SADD", key, fmt.Sprint("m", rand.IntN(8)))
			}
		}
		for i := range 12 {
			key := fmt.Sprint("z", i)
			keys = append(keys, key)
			for range rand.IntN(8) {
				both("ZADD", key, pick(scores), fmt.Sprint("m", rand.IntN(8)))
			}
		}
		some := func() (args []string) {
			for range 1 + rand.IntN(5) {
				args = append(args, pick(keys))
			}
			return args
		}
		for range rounds(300) {
			sets := some()
			both(append([]string{pick([]string{"SUNION", "SINTER", "SDIFF"})}, sets...)...)
			sets = some()
			args := append([]string{"SINTERCARD", fmt.Sprint(len(sets))}, sets...)
			if rand.IntN(2) == 0 {
				args = append(args, "LIMIT", fmt.Sprint(rand.IntN(3)))
			}
			both(args...)
			sets = some()
			args = append([]string{"ZINTERCARD", fmt.Sprint(len(sets))}, sets...)
			if rand.IntN(2) == 0 {
				args = append(args, "limit", fmt.Sprint(rand.IntN(3)))
			}
			both(args...)
			sets = some()
			name := pick([]string{"ZUNION", "ZINTER", "ZDIFF"})
			args = append([]string{name, fmt.Sprint(len(sets))}, sets...)
			if name != "ZDIFF" && rand.IntN(2) == 0 {
				args = append(args, "WEIGHTS")
				for range sets {
					args = append(args, pick([]string{"1", "2", "0.3", "-1", "0", "inf", "1e-3"}))
				}
			}
			if name != "ZDIFF" && rand.IntN(2) == 0 {
				args = append(args, "AGGREGATE", pick([]string{"sum", "MIN", "max"}))
			}
			if rand.IntN(3) > 0 {
				args = append(args, "WITHSCORES")
			}
			both(args...)
		}
		both("SUNION", "s1", "s2", "s3", "string")
		both("ZUNION", "3", "z1", "z2", "z3", "WEIGHTS", "1", "x", "2")
		both("ZUNION", "3", "z1", "z2", "z3", "WEIGHTS", "1", "2")
		both("ZUNION", "3", "z1", "z2", "z3", "AGGREGATE", "avg")
		both("ZDIFF", "3", "z1", "z2", "z3", "AGGREGATE", "sum")
		both("SINTERCARD", "3", "s1", "s2", "s3", "LIMIT", "-1")
		both("SINTERCARD", "3", "s1", "s2", "s3", "LIMIT")
		single.Do("FLUSHALL")
		for _, key := range append(keys, "string") {
			through.Do("DEL", key)
		}
	}
}

func TestSetsThatAreTooLargeAreNotGathered(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	cfg := config(t, addrs(servers)...)
	cfg.Proxy.GatherLimit = 10000
	p := serve(t, cfg)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	for i := range 4 {
		for _, key := range keys {
			c.Do("SADD", key, "small", strings.Repeat("x", 2000)+fmt.Sprint(i))
		}
	}
	c.Send(encode("SUNION", keys[0], keys[1]) + encode("PING"))
	const refusal = "-ERR the data is larger than gather_limit allows; give their keys a common hash tag\r\n"
	if got := c.Reply(); got != refusal {
		t.Errorf("%.100q, want %q", got, refusal)
	}
	c.expect("+PONG\r\n")
	c.Do("DEL", keys[0])
	if got := c.Do("SINTERCARD", "2", keys[0], keys[1]); got != ":0\r\n" {
		t.Errorf("%q", got)
	}
}

// Errors for requests that can't be split over shards say what to do: use a hash tag.
func TestOtherRequestsAcrossShardsNameTheHashTag(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	for _, args := range [][]string{
		{"PFCOUNT"}, {"SUNIONSTORE"}, {"ZINTERSTORE", "to", "2"}, {"RENAME"}, {"MSETNX", keys[0], "v"}, {"LCS"}, {"BRPOPLPUSH"}, {"EVAL", "return 1", "2"}, {"LMPOP", "2"},
	} {
		args = append(args, keys...)
		switch args[0] {
		case "MSETNX":
			args = append(args[:3], keys[1], "v")
		case "BRPOPLPUSH":
			args = append(args, "1")
		case "LMPOP":
			args = append(args, "LEFT")
		}
		if got := c.Do(args...); !strings.HasPrefix(got, "-CROSSSLOT ") || !strings.Contains(got, "hash_tag") {
			t.Errorf("%v: %q", args, got)
		}
	}
}
