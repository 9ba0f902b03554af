package session_test

import (
	"fmt"
	"strings"
	"testing"

	"ringway/conf"
)

// KEYS with the tag of a slot that is being moved finds what is at either server, and nothing twice.
func TestKeysOfASlotThatMoves(t *testing.T) {
	t.Parallel()
	p, pl, cluster := serveCluster(t, conf.OneShard, "keys")
	a, b := cluster.Servers[0], cluster.Servers[1]
	tag := keysOf(1, 0, 2)[0]
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := p.dial()
	var keys []string
	for i := range 6 {
		keys = append(keys, fmt.Sprint(tag, i))
		c.Do("SET", keys[i], "v")
	}
	all := strings.Join(keys, " ")
	finds := func(when string, servers int) {
		t.Helper()
		shardsCalled(cluster.Servers, "keys")
		c.Send(encode("KEYS", tag+"*") + encode("GET", keys[5]) + encode("PING"))
		if got := sorted(c.Reply()); got != all {
			t.Errorf("%s: %s", when, got)
		}
		c.expect("$1\r\nv\r\n", "+PONG\r\n")
		if n := shardsCalled(cluster.Servers, "keys"); n != servers {
			t.Errorf("%s: %d servers were asked", when, n)
		}
	}
	finds("before", 1)
	must(cluster.StartMove(slot(tag), a, b))
	finds("nothing has moved", 2)
	must(cluster.MoveKeys(a, b, keys[0], keys[1], keys[2]))
	finds("half has moved", 2)
	must(cluster.MoveAllKeys(slot(tag), a, b))
	finds("all has moved", 2)
	must(cluster.EndMove(slot(tag), a, b))
	finds("the map is old", 2)
	pl.SetCluster(clusterMap(t, cluster))
	eventually(t, "the map is new", func() bool { return pl.Map().ShardAt(slot(tag)) != 0 })
	finds("after", 1)
}

// A server that says nothing of its slots has all others asked; its error is the client's answer.
func TestKeysOfASlotOfAServerThatFails(t *testing.T) {
	t.Parallel()
	p, _, cluster := serveCluster(t, conf.OneShard, "keys")
	tag := keysOf(1, 0, 2)[0]
	c := p.dial()
	c.Do("SET", tag, "v")
	a := cluster.Servers[0]
	a.Do("ACL", "SETUSER", "default", "-cluster")
	if got := sorted(c.Do("KEYS", tag+"*")); got != tag {
		t.Errorf("without CLUSTER NODES: %q", got)
	}
	a.Do("ACL", "SETUSER", "default", "-keys")
	if got := c.Do("KEYS", tag+"*"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("without KEYS: %q", got)
	}
	c.Send(encode("GET", tag))
	c.expect("$1\r\nv\r\n")
}
