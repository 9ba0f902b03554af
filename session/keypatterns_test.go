package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

// serveTags runs a pool of three shards with hash_tag = tag that permits KEYS, and returns its
// servers and a client.
func serveTags(t *testing.T, tag string) (*raw, []*redistest.Server) {
	t.Helper()
	servers := redistest.StartN(t, 3)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].HashTag, cfg.Pools[0].AllowCommands = tag, []string{"keys"}
	return serve(t, cfg).dial(), servers
}

// shardsCalled returns how many of the servers have executed a command, and forgets it.
func shardsCalled(servers []*redistest.Server, command string) (n int) {
	for _, s := range servers {
		if strings.Contains(s.Do("INFO", "commandstats"), "cmdstat_"+command+":") {
			n++
		}
		s.Do("CONFIG", "RESETSTAT")
	}
	return n
}

// sorted returns the reply to KEYS with its elements in order.
func sorted(reply string) string {
	lines := strings.Split(strings.TrimSuffix(reply, "\r\n"), "\r\n")
	var keys []string
	for i := 2; i < len(lines); i += 2 {
		keys = append(keys, lines[i])
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

func TestKeysWithALiteralTagAsksOneShard(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"{}", "$$", "[]", ""} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			c, servers := serveTags(t, tag)
			for _, k := range []string{"{b}:1", "{b}:2", "{c}:1", "x{b}1", "$b$1", "$b$2", "[b]1", "b", "{b", "{}1"} {
				c.Do("SET", k, "v")
			}
			for _, test := range []struct{ pattern, want, tag string }{
				{"{b}:*", "{b}:1 {b}:2", "{}"}, {"x{b}?", "x{b}1", "{}"}, {"$b$*", "$b$1 $b$2", "$$"}, {"b", "b", tag}, {"{b", "{b", tag},
				{"nothing", "", tag}, {"{b*", "{b {b}:1 {b}:2", "none"}, {"*{b}1", "x{b}1", "none"}, {"{[b]}:*", "{b}:1 {b}:2", "none"},
				{`\{b}:*`, "{b}:1 {b}:2", "none"}, {"{}*", "{}1", "none"}, {`\[b]*`, "[b]1", "none"}, {"[b]", "b", "none"},
			} {
				shardsCalled(servers, "keys")
				if got := sorted(c.Do("KEYS", test.pattern)); got != test.want {
					t.Errorf("KEYS %s: %q, want %q", test.pattern, got, test.want)
				}
				if n, one := shardsCalled(servers, "keys"), test.tag == tag; one != (n == 1) || !one && n != 3 {
					t.Errorf("KEYS %s went to %d shards", test.pattern, n)
				}
			}
		})
	}
}

func TestKeysWithALiteralTagInTransactions(t *testing.T) {
	t.Parallel()
	c, _ := serveTags(t, "{}")
	var far string // a tag of another shard than b's
	for i := 0; far == ""; i++ {
		if tag := fmt.Sprint("far", i); strings.HasPrefix(c.Do("RENAME", "{b}", "{"+tag+"}"), "-CROSSSLOT ") {
			far = tag
		}
	}
	c.Do("SET", "{b}:1", "v")
	c.Do("RPUSH", "{b}:wait", "j")
	found := "*1\r\n" + fakeredis.Bulk("{b}:1")
	c.Send(encode("MULTI") + encode("LRANGE", "{b}:wait", "0", "-1") + encode("KEYS", "{b}:?") + encode("DEL", "{b}:wait") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*3\r\n*1\r\n"+fakeredis.Bulk("j")+found+":1\r\n")
	c.Send(encode("MULTI") + encode("KEYS", "{b}:?") + encode("EXEC")) // it alone decides the shard
	c.expect("+OK\r\n", "+QUEUED\r\n", "*1\r\n"+found)
	c.Send(encode("WATCH", "{b}:1") + encode("MULTI") + encode("KEYS", "{b}:?") + encode("EXEC"))
	c.expect("+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n"+found)

	for _, queued := range [][]string{{"KEYS", "{" + far + "}*"}, {"KEYS", "*"}, {"KEYS", "{b*"}} {
		c.Send(encode("MULTI") + encode("GET", "{b}:1") + encode(queued...) + encode("EXEC"))
		c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n")
		got := c.Reply()
		if want := "-EXECABORT "; !strings.HasPrefix(got, want) || strings.Contains(queued[1], far) != strings.Contains(got, "CROSSSLOT") {
			t.Errorf("%q: %q", queued, got)
		}
	}
}

func TestScanWithALiteralTagAsksOneShard(t *testing.T) {
	t.Parallel()
	c, servers := serveTags(t, "{}")
	var tagged, all, hashes []string
	for i := range 200 {
		for _, key := range []string{fmt.Sprint("{b}:", i), fmt.Sprint("other:", i)} {
			c.Do("SET", key, "v")
			all = append(all, key)
		}
		tagged = append(tagged, fmt.Sprint("{b}:", i))
	}
	for i := range 50 {
		key := fmt.Sprint("{b}:hash:", i)
		c.Do("HSET", key, "f", "v")
		tagged, all, hashes = append(tagged, key), append(all, key), append(hashes, key)
	}
	slices.Sort(tagged)
	slices.Sort(all)
	slices.Sort(hashes)
	for _, test := range []struct {
		want    []string
		shards  int
		options string
	}{
		{tagged, 1, "MATCH {b}:* COUNT 10"},
		{tagged, 1, "COUNT 30 match {b}*"},
		{hashes, 1, "type hash Match {b}:* count 20"},
		{hashes, 1, "COUNT 20 MATCH {b}:* TYPE HASH"},
		{[]string{"{b}:7"}, 1, "MATCH {b}:7"},
		{all, 3, "COUNT 50"},
		{all, 3, "TYPE string COUNT 25 MATCH *"},
		{hashes, 3, "COUNT 100 TYPE hash"},
		{hashes, 3, "tYpE hash mAtCh *{b}* cOuNt 7"},
		{tagged, 3, "MATCH ?b}*"},
	} {
		if test.options == "TYPE string COUNT 25 MATCH *" {
			test.want = slices.DeleteFunc(slices.Clone(all), func(k string) bool { return slices.Contains(hashes, k) })
		}
		if strings.Contains(test.options, "*{b}*") || strings.Contains(test.options, "TYPE hash") && test.shards == 3 {
			test.want = hashes
		}
		shardsCalled(servers, "scan")
		if got := scanAll(t, c, nil, strings.Fields(test.options)...); !slices.Equal(got, test.want) {
			t.Errorf("SCAN %s: %d keys, want %d", test.options, len(got), len(test.want))
		}
		if n := shardsCalled(servers, "scan"); n != test.shards {
			t.Errorf("SCAN %s went to %d shards, want %d", test.options, n, test.shards)
		}
	}
	if got := c.Do("SCAN", "0", "MATCH", "{b}*", "COUNT"); got != "-ERR syntax error\r\n" {
		t.Errorf("%q", got)
	}
	if got := c.Do("SCAN", "0", "MATCH", "{b}*", "COUNT", "0"); got != "-ERR syntax error\r\n" {
		t.Errorf("%q", got)
	}
}

// A cursor leads on from where it was got, whatever pattern the client scans with next.
func TestScanCursorsMayChangeTheirPattern(t *testing.T) {
	t.Parallel()
	c, _ := serveTags(t, "{}")
	tags := []string{"a", "b", "c", "d", "e", "f"}
	for i := range 100 {
		for _, tag := range tags {
			c.Do("SET", fmt.Sprintf("{%s}:%d", tag, i), "v")
		}
	}
	// scan goes on with a pattern until the end, and counts the keys.
	scan := func(cursor, pattern string, steps int) (next string, found map[string]bool) {
		found = map[string]bool{}
		for ; steps != 0; steps-- {
			lines := strings.Split(c.Do("SCAN", cursor, "MATCH", pattern, "COUNT", "10"), "\r\n")
			for i := 5; i < len(lines); i += 2 {
				found[lines[i]] = true
			}
			if cursor = lines[2]; cursor == "0" {
				break
			}
		}
		return cursor, found
	}
	for _, first := range tags {
		for _, second := range tags {
			// What one pattern has skipped is there for the next: all keys with the second
			// tag are found, unless the scan has passed their shard.
			cursor, _ := scan("0", "{"+first+"}*", 3)
			_, rest := scan(cursor, "{"+first+"}*", -1)
			_, begun := scan("0", "{"+first+"}*", 7) // fewer may meet none of the tag by chance: most tags are on one shard
			cursor, _ = scan("0", "{"+first+"}*", 3)
			if cursor == "0" {
				t.Fatalf("{%s}* ends too early for this test", first)
			}
			_, found := scan(cursor, "*", -1)
			for key := range rest {
				if !found[key] {
					t.Fatalf("{%s}*, then *: %s is missing", first, key)
				}
			}
			cursor, _ = scan("0", "*", 3)
			if _, found := scan(cursor, "{"+second+"}*", -1); len(found) > 100 {
				t.Errorf("*, then {%s}*: %d keys", second, len(found))
			}
			if _, found := scan(cursor, "{"+second+"}*", -1); len(begun) == 0 || len(found) < 50 && second != first {
				// The first steps of * looked at 30 of some 200 keys of the first shard.
				t.Errorf("*, then {%s}*: only %d keys", second, len(found))
			}
		}
	}
}

func TestSortWithPatternsOfTheKeysTag(t *testing.T) {
	t.Parallel()
	c, servers := serveTags(t, "{}")
	one := redistest.Start(t)
	r := &raw{redistest.Dial(t, "tcp", one.Addr()), t}
	both := func(args ...string) {
		t.Helper()
		if got, want := c.Do(args...), r.Do(args...); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
	both("RPUSH", "{u}list", "3", "1", "2", "{x}4")
	for i, e := range []string{"1", "2", "3", "{x}4"} {
		both("SET", "{u}w_"+e, fmt.Sprint(9-i))
		both("HSET", "{u}o_"+e, "f", "name"+e)
	}
	for _, request := range []string{
		"SORT {u}list BY {u}w_* GET {u}o_*->f GET #",
		"SORT {u}list BY {u}o_*->f ALPHA DESC LIMIT 1 2 GET #",
		"sort {u}list by {u}w_* get {u}w_* store {u}to",
		"LRANGE {u}to 0 -1",
		"SORT_RO {u}list BY {u}w_* GET # GET {u}none_*",
		"SORT {u}list BY nosort GET constant GET #",
		"SORT {u}list BY nosort GET {u}o_*->",
		"SORT {u}none BY {u}w_*",
		"SORT {u}list BY {u}w_* STORE",
	} {
		both(strings.Fields(request)...)
	}
	for _, request := range []string{
		"SORT {u}list BY w_*", "SORT {u}list BY {u}w_* GET o_*", "SORT {u}list BY *{u}", "SORT {u}list BY {u*}", "SORT_RO list BY {u}w_* ALPHA",
	} {
		got := c.Do(strings.Fields(request)...)
		if !strings.HasPrefix(got, "-CROSSSLOT Keys in request don't hash to the same slot: the pattern \"") || !strings.HasSuffix(got, "(the pool has hash_tag = \"{}\")\r\n") {
			t.Errorf("%s: %q", request, got)
		}
	}
	c.Send(encode("MULTI") + encode("SORT", "{u}list", "BY", "{u}w_*", "LIMIT", "0", "1") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "*1\r\n*1\r\n"+fakeredis.Bulk("{x}4"))
	if n := shardsCalled(servers, "sort"); n != 1 {
		t.Errorf("SORT went to %d shards", n)
	}
}
