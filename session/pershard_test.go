package session_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

// servePerShard runs a proxy with transactions = "per_shard" in front of n servers. It returns
// a key on each.
func servePerShard(t *testing.T, n int) (p *proxy, servers []*redistest.Server, keys []string) {
	t.Helper()
	servers = redistest.StartN(t, n)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].Transactions = conf.PerShard
	cfg.Pools[0].Databases = 16
	p = serve(t, cfg)
	return p, servers, keysOnEach(t, p, servers)
}

func queued(n int) string { return "+OK\r\n" + strings.Repeat("+QUEUED\r\n", n) }

// expectAll reads as many bytes as want has.
func (c *raw) expectAll(want string) {
	c.t.Helper()
	for rest := want; rest != ""; {
		reply, is := c.Reply(), false
		if rest, is = strings.CutPrefix(rest, reply); !is {
			c.t.Fatalf("%q, want %q of %q", reply, rest, want)
		}
	}
}

func TestTransactionPerShardJoinsRepliesInOrder(t *testing.T) {
	t.Parallel()
	p, _, k := servePerShard(t, 4)
	c := p.dial()
	var requests strings.Builder
	want := queued(12) + "*12\r\n"
	for i := range 12 {
		requests.WriteString(encode("SET", k[i*7%4]+strconv.Itoa(i), strconv.Itoa(i), "GET"))
		want += "$-1\r\n"
	}
	for range 3 { // pipelined
		c.Send(encode("MULTI") + requests.String() + encode("EXEC"))
	}
	c.expectAll(want)
	for range 2 {
		want = queued(12) + "*12\r\n"
		for i := range 12 {
			want += bulk(strconv.Itoa(i))
		}
		c.expectAll(want)
	}
	c.Send(encode("MULTI") + encode("MSET", k[0], "a", k[1], "b", k[2], "c") + encode("MGET", k[2], k[0], "none", k[1]) + encode("INCR", k[0]) + encode("CLIENT", "SETNAME", "me") +
		encode("DEL", k[0], k[1], "none") + encode("EXISTS", k[0], k[2]) + encode("MSET", k[0], "1", k[1]) + encode("CLIENT", "GETNAME") + encode("SINTER", k[2]) + encode("EXEC") + encode("PING"))
	c.expectAll(queued(9) + "*9\r\n+OK\r\n*4\r\n" + bulk("c") + bulk("a") + "$-1\r\n" + bulk("b") + "-ERR value is not an integer or out of range\r\n+OK\r\n:2\r\n:1\r\n" +
		"-ERR wrong number of arguments for 'mset' command\r\n" + bulk("me") + "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n+PONG\r\n")
	c.Send(encode("MULTI") + encode("SET", k[0], "1") + encode("RENAME", k[0], k[1]) + encode("EXEC") + encode("GET", k[0]))
	c.expectAll(queued(2) + withoutAnyShard(k[0], k[1]) + "$-1\r\n")
	c.Send(encode("MULTI") + encode("SET", k[0], "1") + encode("SELECT", "3") + encode("SET", k[0], "2") + encode("SET", k[1], "3") + encode("EXEC") + encode("MGET", k[0], k[1]) + encode("SELECT", "0") + encode("GET", k[0]))
	c.expectAll(queued(4) + "*4\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n*2\r\n" + bulk("2") + bulk("3") + "+OK\r\n" + bulk("1"))
	c.Send(encode("MULTI") + encode("EVAL", "return redis.call('SET',KEYS[1],'x')", "1", k[0]) + encode("EVAL", "return redis.call('GET',KEYS[1])", "1", k[2]) + encode("PUBLISH", k[3], "m") + encode("HELLO", "3") + encode("EXEC") + encode("HGETALL", "none"))
	for _, want := range []string{"+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n"} {
		c.expect(want)
	}
	if reply := c.Reply(); !strings.HasPrefix(reply, "*4\r\n+OK\r\n$1\r\nc\r\n:0\r\n%7\r\n") {
		t.Errorf("%q", reply)
	}
	c.expect("%0\r\n")
}

// withoutAnyShard is EXEC's error for a request that can't be split.
func withoutAnyShard(a, b string) string {
	return "-EXECABORT Transaction discarded because of: " + withoutTags(a, b)[1:]
}

// The others' parts are executed only after those with watched keys.
func TestWatchedKeysOfSeveralShards(t *testing.T) {
	t.Parallel()
	p, _, k := servePerShard(t, 4)
	c, other := p.dial(), p.dial()
	set := func(n int) (requests string) {
		for i := range n {
			requests += encode("SET", k[i], "tx")
		}
		return encode("MULTI") + requests + encode("EXEC")
	}
	for i := range 4 { // whichever key has changed, nothing is executed
		c.Send(encode("DEL", k[0], k[1], k[2], k[3]) + encode("WATCH", k[0], k[1]) + encode("WATCH", k[2]) + encode("WATCH", k[3], k[1]))
		c.Reply()
		c.expectAll("+OK\r\n+OK\r\n+OK\r\n")
		other.Do("SET", k[i], "other")
		c.Send(set(i) + encode("EXISTS", k[0], k[1], k[2], k[3]))
		c.expectAll(queued(i) + "*-1\r\n:1\r\n")
	}
	c.Send(encode("WATCH", k[0]) + encode("GET", k[3]) + set(4) + encode("MGET", k[0], k[3]))
	c.expectAll("+OK\r\n" + bulk("other") + queued(4) + "*4\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n*2\r\n" + bulk("tx") + bulk("tx"))
	c.Send(encode("WATCH", k[0], k[1]) + encode("UNWATCH") + encode("WATCH", k[2], k[3]) + encode("MULTI") + encode("DISCARD"))
	c.expectAll("+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n")
	other.Do("SET", k[0], "x")
	other.Do("SET", k[2], "x")
	c.Send(set(4))
	c.expectAll(queued(4) + "*4\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n")
	// Only watched, on two shards; the transaction is on a third, or on none.
	for _, n := range []int{0, 1} {
		c.Send(encode("WATCH", k[2], k[3]) + set(n))
		c.expectAll("+OK\r\n" + queued(n) + fmt.Sprintf("*%d\r\n", n) + strings.Repeat("+OK\r\n", n))
	}
}

// What one shard did not execute gets errors, the rest its replies.
func TestLostServerFailsItsPartOfATransaction(t *testing.T) {
	t.Parallel()
	p, servers, k := servePerShard(t, 3)
	c := p.dial()
	request := encode("MULTI") + encode("SET", k[0], "1") + encode("SET", k[1], "2") + encode("INCR", k[0]) + encode("MGET", k[0], k[1]) + encode("EXEC")
	servers[1].Do("CONFIG", "SET", "maxmemory", "1")
	c.Send(request)
	oom := "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.\r\n"
	c.expectAll(queued(4) + "*4\r\n+OK\r\n" + oom + ":2\r\n" + oom)
	servers[1].Kill()
	redistest.Eventually(t, 20*time.Second, "the server is lost", func() bool { return strings.HasPrefix(c.Do("GET", k[1]), "-") })
	c.Send(request)
	for _, want := range strings.SplitAfter(strings.TrimSuffix(queued(4), "\r\n"), "\r\n") {
		if got := c.Reply(); strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := c.Reply(); !strings.HasPrefix(got, "*4\r\n+OK\r\n-ERR Conn") || !strings.Contains(got, "\r\n:2\r\n-ERR Conn") {
		t.Errorf("EXEC: %q", got)
	}
	c.Send(encode("MULTI") + encode("SET", k[1], "2") + encode("EXEC") + encode("WATCH", k[1]) + encode("PING"))
	c.expectAll("+OK\r\n+QUEUED\r\n")
	for _, what := range []string{"EXEC", "WATCH"} {
		if got := c.Reply(); !strings.HasPrefix(got, "-ERR Conn") {
			t.Errorf("%s: %q", what, got)
		}
	}
	c.expect("+PONG\r\n")
}

// A key that has changed before EXEC is noticed before any part is executed, whichever it is.
func TestWatchedKeysThatAreWritten(t *testing.T) {
	t.Parallel()
	p, _, k := servePerShard(t, 3)
	c, other := p.dial(), p.dial()
	for i := range 3 {
		other.Do(append([]string{"DEL"}, k...)...)
		c.Send(encode(append([]string{"WATCH"}, k...)...) + encode("MULTI") + encode("SET", k[0], "tx") + encode("SET", k[1], "tx") + encode("SET", k[2], "tx"))
		c.expectAll("+OK\r\n" + queued(3))
		other.Do("SET", k[i], "other")
		c.Send(encode("EXEC") + encode(append([]string{"EXISTS"}, k...)...))
		c.expectAll("*-1\r\n:1\r\n")
	}
}

// What one part can't say, the reply says if it may have been executed: the client must not
// take "it was not sent" for all of them.
func TestTransactionSaysThatTheOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	p, servers, k := servePerShard(t, 2)
	c := p.dial()
	servers[0].Kill()
	redistest.Eventually(t, 20*time.Second, "the server is lost", func() bool { return strings.HasPrefix(c.Do("GET", k[0]), "-ERR Conn") })
	servers[1].Do("CLIENT", "PAUSE", "60000")
	c.Send(encode("MULTI") + encode("SET", k[0], "1") + encode("SET", k[1], "2") + encode("EXEC"))
	c.expectAll(queued(2))
	c.expectSilence()
	servers[1].Kill()
	if reply := c.Reply(); !strings.Contains(reply, "outcome is unknown") {
		t.Errorf("%q", reply)
	}
}
