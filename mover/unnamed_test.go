package mover

import (
	"slices"
	"strings"
	"testing"

	"ringway/internal/redistest"
	"ringway/resp"
)

// groupRequests change what a stream carries but its entries. Redis 7.0 and 8.6 and Valkey 9.1 do not name the key then.
var groupRequests = []string{
	"XGROUP CREATE s g 0", "XGROUP CREATECONSUMER s g one", "XREADGROUP GROUP g two COUNT 2 STREAMS s >",
	"XREADGROUP GROUP g two COUNT 2 NOACK STREAMS s >", "XREADGROUP GROUP g two COUNT 2 STREAMS s 0",
	"XACK s g 1-1", "XCLAIM s g one 0 1-2 JUSTID", "XAUTOCLAIM s g three 0 0", "XGROUP SETID s g 1-1",
	"XGROUP DELCONSUMER s g two", "XSETID s 9-9", "XGROUP DESTROY s g",
}

// namedRequests change keys in every other way that the types have.
var namedRequests = []string{
	"SET str 1", "SETEX str 100 1", "APPEND str 1", "SETRANGE str 1 x", "SETBIT str 1 1", "BITFIELD str SET u8 0 3", "SET str2 7",
	"GETSET str 5", "INCR str", "INCRBYFLOAT str 1.5", "DECRBY str2 1", "EXPIRE str 1000", "PERSIST str", "BITOP NOT str2 str", "GETEX str EX 50", "PEXPIREAT str 99999999999999", "GETDEL str",
	"LPUSH l a b c d", "LSET l 0 x", "LTRIM l 0 2", "LINSERT l BEFORE b z", "LREM l 0 z", "LPOP l", "LMOVE l l2 LEFT RIGHT", "RPOPLPUSH l l2", "LMPOP 1 l2 LEFT",
	"SADD set a b c 1", "SREM set a", "SMOVE set set2 b", "SPOP set", "SINTERSTORE set3 set set", "SUNIONSTORE set3 set set2",
	"ZADD z 1 a 2 b 3 c 4 d 5 e 6 f", "ZINCRBY z 1 a", "ZREM z a", "ZPOPMIN z", "ZREMRANGEBYRANK z 0 0", "ZRANGESTORE z2 z 0 -1", "ZUNIONSTORE z3 1 z", "ZMPOP 1 z MIN", "GEOADD geo 13 38 x",
	"HSET h a 1 b 2", "HINCRBY h a 1", "HDEL h a", "HSETNX h c 1", "HMSET h d 1", "HPEXPIRE h 9999999999 FIELDS 1 b", "HPERSIST h FIELDS 1 b", "HSETEX h EX 99999 FIELDS 1 e 1", "HGETEX h EX 99998 FIELDS 1 e", "HGETDEL h FIELDS 1 e",
	"PFADD hll a b c", "PFADD hll2 d", "PFMERGE hll hll2", "PFCOUNT hll",
	"XADD s 1-1 a 1", "XADD s 1-2 a 1", "XADD s 1-3 a 1", "XADD s 1-4 a 1", "XADD s 1-5 a 1", "XADD s 1-6 a 1", "XDEL s 1-6", "XTRIM s MAXLEN 5",
	"SORT set STORE sorted ALPHA", "COPY h h2", "RENAME h2 h3", "RENAMENX h3 h4", "MOVE h4 5", "DEL h", "UNLINK z",
}

// Every request that changes what DUMP or PTTL say of a key names the key: but for what concerns the groups and
// the last IDs of streams, whose keys changesUnnamed therefore knows (docs/adr/0050).
func TestEveryChangeIsNamed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := connect(t, s)
	f, err := startFollowing(t.Context(), poolOf(s), &poolOf(s).Servers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	state := func(key string) string {
		dump, err := c.do("DUMP", key)
		if err != nil {
			t.Fatal(err)
		}
		all := string(dump)
		ttl, err := c.do("PTTL", key)
		if err != nil {
			t.Fatal(err)
		}
		return all + string(ttl[:2])
	}
	keys := strings.Fields("str str2 l l2 set set2 set3 z z2 z3 geo h h2 h3 h4 hll hll2 s sorted")
	all := func() (states []string) {
		for _, key := range keys {
			states = append(states, state(key))
		}
		return states
	}
	var unnamed []string
	changed := 0
	for _, request := range slices.Concat(namedRequests, groupRequests) {
		before := all()
		if err := f.barrier(); err != nil {
			t.Fatal(err)
		}
		f.changed.take(1000)
		if _, err := c.do(strings.Fields(request)...); err != nil {
			if strings.Contains(err.Error(), "unknown command") {
				continue
			}
			t.Fatalf("%s: %v", request, err)
		}
		if err := f.barrier(); err != nil {
			t.Fatal(err)
		}
		names := f.changed.take(1000)
		for i, now := range all() {
			if now == before[i] {
				continue
			}
			if changed++; !slices.Contains(names, keys[i]) {
				unnamed = append(unnamed, request)
			}
		}
	}
	if changed < 80 {
		t.Errorf("only %d changes were seen", changed)
	}
	t.Logf("changes that the server does not name: %q", unnamed)
	for _, request := range unnamed {
		if !slices.Contains(groupRequests, request) {
			t.Errorf("%s changed a key and did not name it", request)
		}
	}
	for _, key := range keys {
		dump, err := c.do("DUMP", key)
		if err != nil {
			t.Fatal(err)
		}
		if payload, ok := resp.Bulk(dump); ok && changesUnnamed(payload) != (key == "s") {
			t.Errorf("changesUnnamed of %s, type %d: %t", key, payload[0], changesUnnamed(payload))
		}
	}
}
