package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

// scanInside scans to the end, each step in a transaction between a SET and a GET of key, and
// returns the keys in order. outside has every second step outside of a transaction.
func scanInside(t *testing.T, c *raw, key string, outside bool, options ...string) (keys []string) {
	t.Helper()
	cursor := "0"
	for step := 0; ; step++ {
		scan := encode(append([]string{"SCAN", cursor}, options...)...)
		var reply string
		if outside && step%2 == 1 {
			c.Send(scan)
			reply = c.Reply()
		} else {
			c.Send(encode("MULTI") + encode("SET", key, "v") + scan + encode("GET", key) + encode("EXEC"))
			c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n")
			whole, begins := strings.CutPrefix(c.Reply(), "*3\r\n+OK\r\n")
			inner, ends := strings.CutSuffix(whole, "$1\r\nv\r\n")
			if !begins || !ends {
				t.Fatalf("SCAN %s: %q", cursor, whole)
			}
			reply = inner
		}
		lines := strings.Split(reply, "\r\n")
		if len(lines) < 4 || lines[0] != "*2" {
			t.Fatalf("SCAN %s: %q", cursor, reply)
		}
		for i := 5; i < len(lines); i += 2 {
			keys = append(keys, lines[i])
		}
		if cursor = lines[2]; cursor == "0" {
			break
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// fillTag sets n keys with a tag, and returns them in order.
func fillTag(c *raw, n int, tag string) (keys []string) {
	for i := range n {
		key := fmt.Sprint(tag, ":", i)
		c.Do("SET", key, "v")
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func TestScanWithALiteralTagInTransactions(t *testing.T) {
	t.Parallel()
	c, _ := serveTags(t, "{}")
	tags := []string{"{a}", "{b}", "{c}", "{d}", "{e}", "{f}"} // on all shards
	for i := range tags {
		want := fillTag(c, 60, tags[i])
		for _, outside := range []bool{false, true} {
			if got := scanInside(t, c, tags[i]+"set", outside, "MATCH", tags[i]+":*", "COUNT", "7"); !slices.Equal(got, want) {
				t.Errorf("%s, outside %v: %d keys of %d", tags[i], outside, len(got), len(want))
			}
		}
	}

	// A cursor of a scan of everything leads to the shard of the pattern, or to the end.
	for cursor := range 3 {
		c.Send(encode("MULTI") + encode("SCAN", fmt.Sprint(cursor), "MATCH", "{a}:*", "COUNT", "100000") + encode("EXEC"))
		c.expect("+OK\r\n", "+QUEUED\r\n")
		if got := c.Reply(); !strings.HasPrefix(got, "*1\r\n*2\r\n$1\r\n0\r\n*60\r\n") && got != "*1\r\n*2\r\n$1\r\n0\r\n*0\r\n" || cursor == 0 && strings.HasSuffix(got, "*0\r\n") {
			t.Errorf("SCAN %d: %q", cursor, got)
		}
	}
	c.Send(encode("WATCH", "{a}:1") + encode("MULTI") + encode("SCAN", "x", "MATCH", "{a}*") + encode("SCAN", "0", "MATCH", "{a}*", "COUNT", "0") + encode("SCAN", "0", "MATCH", "{a}:1", "COUNT", "100000") + encode("EXEC"))
	c.expect("+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*3\r\n-ERR invalid cursor\r\n-ERR syntax error\r\n*2\r\n$1\r\n0\r\n*1\r\n$5\r\n{a}:1\r\n")
	c.Do("SELECT", "3")
	c.Do("SET", "{a}:3", "v")
	c.Send(encode("MULTI") + encode("SELECT", "3") + encode("SCAN", "0", "MATCH", "{a}*", "COUNT", "100") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$5\r\n{a}:3\r\n")
	for _, pattern := range []string{"*", "{a*", "*{a}"} {
		c.Send(encode("MULTI") + encode("GET", "{a}:1") + encode("SCAN", "0", "MATCH", pattern) + encode("EXEC"))
		c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n")
		if got := c.Reply(); !strings.HasPrefix(got, "-EXECABORT Transaction discarded because of: ERR 'scan' is not about one shard") {
			t.Errorf("%s: %q", pattern, got)
		}
	}
}

func TestScanInsideTransactionsOfACluster(t *testing.T) {
	t.Parallel()
	p, pl, cluster := servePerShardCluster(t)
	c := p.dial()
	tags := slices.Concat(keysOf(2, 0, 2), keysOf(2, 1, 2))
	for i := range tags {
		want := fillTag(c, 60, tags[i])
		for _, outside := range []bool{false, true} {
			if got := scanInside(t, c, tags[i]+"set", outside, "MATCH", tags[i]+":*", "COUNT", "7"); !slices.Equal(got, want) {
				t.Errorf("%s, outside %v: %d keys of %d", tags[i], outside, len(got), len(want))
			}
		}
	}

	// The slot moves between two steps, and once more while a transaction waits for its EXEC.
	want := fillTag(c, 60, tags[0])
	next := func(cursor, count string, before func()) (string, []string) {
		c.Send(encode("MULTI") + encode("GET", tags[0]) + encode("SCAN", cursor, "MATCH", tags[0]+":*", "COUNT", count))
		c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n")
		before()
		lines := strings.Split(c.Do("EXEC"), "\r\n")
		if len(lines) < 6 || lines[2] != "*2" {
			t.Fatalf("%q", lines)
		}
		var keys []string
		for i := 7; i < len(lines); i += 2 {
			keys = append(keys, lines[i])
		}
		return lines[4], keys
	}
	moves := 0
	move := func(seen bool) func() {
		return func() {
			from, to := cluster.Servers[moves%2], cluster.Servers[(moves+1)%2]
			moves++
			if err := cluster.Move(from, to, slot(tags[0])); err != nil {
				t.Fatal(err)
			}
			if seen {
				pl.SetCluster(clusterMap(t, cluster))
			}
		}
	}
	for _, seen := range []bool{true, false} {
		var found []string
		cursor, keys := next("0", "100", func() {})
		found = append(found, keys...)
		cursor, keys = next(cursor, "10000", move(seen)) // its cursor means nothing at the other server
		found = append(found, keys...)
		for i := 0; cursor != "0" && i < 100; i++ {
			cursor, keys = next(cursor, "20", func() {})
			found = append(found, keys...)
		}
		slices.Sort(found)
		if found = slices.Compact(found); cursor != "0" || !slices.Equal(found, want) {
			t.Errorf("the move is seen %v: %d keys of %d, cursor %s", seen, len(found), len(want), cursor)
		}
	}
}

// In a Cluster of one shard, cursors from inside and outside of transactions are the same.
func TestScanInsideTransactionsOfOneShard(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	cluster := redistest.NewCluster(t, 1, 0)
	cfg := config(t, cluster.Servers[0].Addr())
	cfg.Pools[0].Topology, cfg.Pools[0].Databases, cfg.Pools[0].FailoverWait = conf.Cluster, 1, 20*time.Second
	p := serve(t, cfg)
	p.server.Pools()[0].SetCluster(clusterMap(t, cluster))
	c := p.dial()
	want := fillTag(c, 60, "{a}")
	for _, outside := range []bool{false, true} {
		if got := scanInside(t, c, "set", outside, "MATCH", "*:*", "COUNT", "7"); !slices.Equal(got, want) {
			t.Errorf("outside %v: %d keys of %d", outside, len(got), len(want))
		}
	}
}
