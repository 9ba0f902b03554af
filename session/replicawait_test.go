package session_test

import (
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// WAIT counts the replicas that have what a client has written over shared connections. A
// stopped replica does not have it, whichever its shard is.
func TestWaitTellsWhatReplicasHave(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	servers := redistest.StartN(t, 2)
	var replicas []*redistest.Server
	for _, s := range servers {
		replicas = append(replicas, redistest.Start(t, redistest.ReplicaOf(s)))
	}
	for _, s := range servers {
		redistest.Eventually(t, 30*time.Second, "the replica is connected", func() bool {
			return strings.Contains(s.Do("INFO", "replication"), "state=online")
		})
	}
	p := serve(t, config(t, addrs(servers)...))
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	c.Send(encode("SET", keys[0], "1") + encode("SET", keys[1], "1") + encode("WAIT", "1", "10000") + encode("PING"))
	c.expect("+OK\r\n", "+OK\r\n", ":1\r\n", "+PONG\r\n")
	for i, replica := range replicas {
		replica.Stop()
		c.Send(encode("SET", keys[i], "2") + encode("WAIT", "1", "200"))
		c.expect("+OK\r\n", ":0\r\n")
		replica.Cont()
		c.Send(encode("WAIT", "1", "20000"))
		c.expect(":1\r\n")
	}
	c.Send(encode("WAIT", "x", "0") + encode("WAIT", "1", "-1") + encode("WAITAOF", "0", "1", "100"))
	c.expect("-ERR value is not an integer or out of range\r\n", "-ERR timeout is negative\r\n")
	c.Reply() // Redis 7.0 does not have it

	// A client that leaves while it waits leaves nothing behind.
	before := strings.Count(servers[0].Do("CLIENT", "LIST", "TYPE", "normal"), "id=")
	leaver := p.dial()
	leaver.Send(encode("WAIT", "5", "0"))
	redistest.Eventually(t, 30*time.Second, "the servers wait", func() bool {
		return strings.Contains(servers[0].Do("INFO", "clients"), "blocked_clients:1")
	})
	leaver.Close()
	redistest.Eventually(t, 30*time.Second, "nobody waits", func() bool {
		return strings.Contains(servers[0].Do("INFO", "clients"), "blocked_clients:0")
	})
	if after := strings.Count(servers[0].Do("CLIENT", "LIST", "TYPE", "normal"), "id="); after > before {
		t.Errorf("%d connections, %d before", after, before)
	}
}

func TestWaitInATransactionDoesNotBlock(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	c := p.dial()
	c.Send(encode("MULTI") + encode("SET", "k", "1") + encode("WAIT", "3", "0") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n+OK\r\n:0\r\n")
}

// A pool may have no server that it could ask.
func TestWaitIsAnsweredWhenAllServersAreEjected(t *testing.T) {
	p, _ := ejectOne(t, 1, 0, true)
	c := p.dial()
	c.Send(encode("WAIT", "1", "10") + encode("GET", "k"))
	for range 2 {
		if got := c.Reply(); !strings.HasPrefix(got, "-ERR Connection refused: server s1 is down") {
			t.Errorf("%q", got)
		}
	}
}
