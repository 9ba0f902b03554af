package session_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/hashring"
	"ringway/internal/redistest"
	"ringway/pool"
)

// keysOf returns n keys of different slots that a server of so many serves, with hash tags.
func keysOf(n, server, servers int) (keys []string) {
	for i := 0; len(keys) < n; i++ {
		key := fmt.Sprintf("{k%d}", i)
		if slot(key)*servers/hashring.Slots == server {
			keys = append(keys, key)
		}
	}
	return keys
}

func slot(key string) int { return int(hashring.Slot([]byte(key))) }

// servePerShardCluster is serveCluster with transactions = "per_shard".
func servePerShardCluster(t *testing.T) (*proxy, *pool.Pool, *redistest.Cluster) {
	t.Helper()
	return serveCluster(t, conf.PerShard)
}

// serveCluster runs a proxy in front of a Cluster of two primaries. Only the test, and what
// servers say, tells it of slots that move.
func serveCluster(t *testing.T, transactions string, allowed ...string) (*proxy, *pool.Pool, *redistest.Cluster) {
	t.Helper()
	redistest.SkipShort(t)
	cluster := redistest.NewCluster(t, 2, 0)
	cfg := config(t, cluster.Servers[0].Addr())
	cfg.Pools[0].Topology, cfg.Pools[0].FailoverWait, cfg.Pools[0].Transactions = conf.Cluster, 20*time.Second, transactions
	cfg.Pools[0].AllowCommands = allowed
	p := serve(t, cfg)
	pl := p.server.Pools()[0]
	pl.SetCluster(clusterMap(t, cluster))
	return p, pl, cluster
}

// Slots move before, while and after a transaction is queued; no part is executed twice.
func TestTransactionPerShardInACluster(t *testing.T) {
	t.Parallel()
	p, pl, cluster := servePerShardCluster(t)
	a, b := cluster.Servers[0], cluster.Servers[1]
	onA, onB := keysOf(3, 0, 2), keysOf(3, 1, 2)
	k := []string{onA[0], onB[0], onA[1], onB[1], onA[2], onB[2]}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := p.dial()
	round := 0
	requests := encode("MSET", k[0]+"m", "1", k[1]+"m", "2", k[2]+"m", "3")
	for _, key := range k {
		requests += encode("INCR", key) + encode("INCR", key+"2")
	}
	requests += encode("MGET", k[3], k[0], "none", k[1]+"m")
	replies := func() string {
		round++
		want := "*14\r\n+OK\r\n" + strings.Repeat(fmt.Sprintf(":%d\r\n", round), 12)
		n := bulk(fmt.Sprint(round))
		return want + "*4\r\n" + n + n + "$-1\r\n" + bulk("2")
	}
	c.Send(strings.Repeat(encode("MULTI")+requests+encode("EXEC"), 3))
	for range 3 {
		c.expectAll(queued(14) + replies())
	}

	must(cluster.Move(a, b, slot(k[0])))
	c.Send(encode("MULTI") + requests + encode("EXEC") + encode("GET", k[0]))
	c.expectAll(queued(14) + replies() + bulk("4"))

	must(cluster.StartMove(slot(k[1]), b, a)) // ASK: all keys of a part are away
	must(cluster.MoveKeys(b, a, k[1], k[1]+"2", k[1]+"m"))
	c.Send(encode("MULTI") + requests + encode("EXEC") + encode("GET", k[1]))
	c.expectAll(queued(14) + replies() + bulk("5"))
	must(cluster.EndMove(slot(k[1]), b, a))

	must(cluster.StartMove(slot(k[2]), a, b)) // TRYAGAIN: one of them is
	must(cluster.MoveKeys(a, b, k[2]))
	c.Send(encode("MULTI") + requests + encode("EXEC"))
	c.expectAll(queued(14))
	redistest.Eventually(t, 20*time.Second, "the servers sent it to each other many times", func() bool {
		_, exec, _ := strings.Cut(b.Do("INFO", "commandstats"), "cmdstat_exec:")
		_, rejected, _ := strings.Cut(exec, "rejected_calls=")
		rejected, _, _ = strings.Cut(rejected, ",")
		n, _ := strconv.Atoi(rejected)
		return n >= 20
	})
	must(cluster.MoveAllKeys(slot(k[2]), a, b))
	must(cluster.EndMove(slot(k[2]), a, b))
	c.expectAll(replies())

	// A queued transaction goes by the new map.
	c.Send(encode("MULTI") + encode("INCR", k[4]))
	c.expectAll(queued(1))
	must(cluster.Move(a, b, slot(k[4])))
	pl.SetCluster(clusterMap(t, cluster))
	p.sessions()
	a.Do("CONFIG", "RESETSTAT")
	c.Send(encode("EXEC"))
	c.expectAll("*1\r\n:7\r\n")
	if stats := a.Do("INFO", "commandstats"); strings.Contains(stats, "cmdstat_multi") {
		t.Error("the transaction went to the former owner first")
	}
}

// clusterMap returns what the servers say of their slots.
func clusterMap(t *testing.T, c *redistest.Cluster) (shards []pool.ClusterShard) {
	t.Helper()
	for _, s := range c.Servers {
		slots, err := c.Slots(s)
		if err != nil {
			t.Fatal(err)
		}
		sh := pool.ClusterShard{ID: s.Addr(), View: view(s)}
		for _, slot := range slots {
			sh.Slots = append(sh.Slots, pool.SlotRange{First: uint16(slot), Last: uint16(slot)})
		}
		shards = append(shards, sh)
	}
	return shards
}

// Each slot has a connection of its own. If a watched slot moves, nothing is executed.
func TestWatchedSlotsOfACluster(t *testing.T) {
	t.Parallel()
	p, _, cluster := servePerShardCluster(t)
	a, b := cluster.Servers[0], cluster.Servers[1]
	onA, onB := keysOf(3, 0, 2), keysOf(2, 1, 2)
	c, other := p.dial(), p.dial()
	set := encode("MULTI") + encode("SET", onA[0], "tx") + encode("SET", onA[1], "tx") + encode("SET", onA[2], "tx") + encode("SET", onB[0], "tx") + encode("EXEC")
	for _, changed := range []string{onA[0], onA[1], onB[0], onB[1]} {
		other.Do("DEL", onA[0], onA[1], onA[2], onB[0], onB[1])
		c.Send(encode("WATCH", onA[0], onA[1], onB[0]) + encode("WATCH", onB[1], onA[0]))
		c.expectAll("+OK\r\n+OK\r\n")
		other.Do("SET", changed, "other")
		c.Send(set + encode("EXISTS", onA[0], onA[1], onA[2], onB[0], onB[1]))
		c.expectAll(queued(4) + "*-1\r\n:1\r\n")
	}
	other.Do("DEL", onA[0], onA[1], onA[2], onB[0], onB[1])
	c.Send(encode("WATCH", onA[0], onA[1], onB[0]) + set)
	c.expectAll("+OK\r\n" + queued(4) + "*4\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n")

	other.Do("DEL", onA[0], onA[1], onA[2], onB[0], onB[1])
	c.Send(encode("WATCH", onA[0], onB[1]))
	c.expectAll("+OK\r\n")
	if err := cluster.Move(a, b, slot(onA[0])); err != nil {
		t.Fatal(err)
	}
	c.Send(set + encode("EXISTS", onA[0], onA[1], onA[2], onB[0], onB[1]))
	c.expectAll(queued(4) + "*-1\r\n:0\r\n")
	c.Send(encode("WATCH", onA[0], onA[1], onB[0]) + set) // follows MOVED, if it is not known yet
	c.expectAll("+OK\r\n" + queued(4) + "*4\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n")
}

// WATCH has followed -ASK to the server that gets the slot. What is queued is by the old map, EXEC
// by the new one: it belongs on the connection that watches, whole.
func TestExecGoesWhereWatchWent(t *testing.T) {
	t.Parallel()
	p, pl, cluster := serveCluster(t, conf.OneShard)
	a, b := cluster.Servers[0], cluster.Servers[1]
	key := keysOf(1, 0, 2)[0]
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(cluster.StartMove(slot(key), a, b))
	c := p.dial()
	c.Send(encode("WATCH", key) + encode("MULTI") + encode("INCR", key))
	c.expectAll("+OK\r\n" + queued(1))
	must(cluster.EndMove(slot(key), a, b))
	pl.SetCluster(clusterMap(t, cluster))
	p.sessions()
	c.Send(encode("EXEC"))
	c.expectAll("*1\r\n:1\r\n")
	if stats := a.Do("INFO", "commandstats"); strings.Contains(stats, "cmdstat_multi") {
		t.Error("the former owner got the transaction, for which nothing is watched there")
	}
	if stats := b.Do("INFO", "commandstats"); !strings.Contains(stats, "cmdstat_multi:calls=1,") {
		t.Error("the new owner has executed more than one transaction: others' come in between")
	}
}

// WATCH has followed -MOVED, and the Map that says so is not in force yet.
func TestExecFollowsWatchBeforeTheMap(t *testing.T) {
	t.Parallel()
	for _, transactions := range []string{conf.OneShard, conf.PerShard} {
		p, _, cluster := serveCluster(t, transactions)
		c := p.dial()
		for _, key := range keysOf(20, 0, 2) {
			if err := cluster.Move(cluster.Servers[0], cluster.Servers[1], slot(key)); err != nil {
				t.Fatal(err)
			}
			c.Send(encode("WATCH", key) + encode("WATCH", key, key+"2") + encode("MULTI") + encode("INCR", key) + encode("EXEC"))
			c.expectAll("+OK\r\n+OK\r\n" + queued(1) + "*1\r\n:1\r\n")
		}
	}
}
