package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/limit"
)

// withLimits returns a configuration of one pool with a user default of limits.
func withLimits(t *testing.T, change func(p *conf.Pool)) *conf.Config {
	t.Helper()
	cfg := config(t, addrs(redistest.StartN(t, 2))...)
	change(&cfg.Pools[0])
	return cfg
}

// A client that has used up its requests waits; its replies are the same, in order, in pipelines of any kind.
func TestRequestsBeyondALimitWait(t *testing.T) {
	t.Parallel()
	const rate, n = 500, 600
	p := serve(t, withLimits(t, func(p *conf.Pool) { p.Limits = limit.Settings{Requests: rate} }))
	c := p.dial()
	var requests, replies strings.Builder
	for i := range n / 6 {
		key := fmt.Sprint("{k}", i)
		requests.WriteString(encode("SET", key, "1") + encode("MULTI") + encode("INCR", key) + encode("EXEC") + encode("MGET", key, "x") + encode("PING"))
		replies.WriteString("+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:2\r\n*2\r\n$1\r\n2\r\n$-1\r\n+PONG\r\n")
	}
	start := time.Now()
	c.Send(requests.String())
	c.expectAll(replies.String())
	if took, want := time.Since(start), time.Second*(n-rate)/rate; took < want*9/10 {
		t.Errorf("%d requests took %v, want %v at least", n, took, want)
	}
	if n := p.server.Pools()[0].Limits().Counts(limit.ThePool, limit.Requests).Delayed.Load(); n == 0 {
		t.Error("nobody was delayed")
	}
}

// Each of those who wait gets its turn, however many requests another has sent.
func TestClientsAtALimitTakeTurns(t *testing.T) {
	t.Parallel()
	cfg := withLimits(t, func(p *conf.Pool) { p.Limits = limit.Settings{Requests: 1000} })
	cfg.Proxy.Threads = 1
	p := serve(t, cfg)
	greedy, modest := p.dial(), p.dial()
	greedy.Send(strings.Repeat(encode("GET", "a"), 2500))
	greedy.expectAll(strings.Repeat("$-1\r\n", 1000))
	start := time.Now()
	for range 3 {
		want(t, modest, "$-1", "GET", "b")
	}
	if took := time.Since(start); took > 900*time.Millisecond {
		t.Errorf("three requests took %v beside a client that has sent 2500", took)
	}
	greedy.expectAll(strings.Repeat("$-1\r\n", 1500))
}

// Replies count for a user's bytes on all of its connections, and another user's do not.
func TestBytesOfRepliesAreLimited(t *testing.T) {
	t.Parallel()
	cfg := withUsers(t, redistest.StartN(t, 2), "user default on nopass +@all ~*", "user alice on >a +@all ~*")
	cfg.Pools[0].OwnLimits = map[string]limit.Settings{"alice": {Bytes: 1 << 20}}
	p := serve(t, cfg)
	other, a, b := p.dial(), p.dial(), p.dial()
	want(t, other, "+OK", "SET", "k", strings.Repeat("x", 1<<20))
	want(t, a, "+OK", "AUTH", "alice", "a")
	want(t, b, "+OK", "AUTH", "alice", "a")
	start := time.Now()
	for range 2 {
		if got := a.Do("GET", "k"); len(got) < 1<<20 {
			t.Fatalf("%d bytes", len(got))
		}
	}
	want(t, a, "+PONG", "PING") // the replies are charged with it, at the latest
	want(t, b, "+PONG", "PING")
	if took := time.Since(start); took < 800*time.Millisecond {
		t.Errorf("2 MiB took %v", took)
	}
	start = time.Now()
	for range 3 {
		other.Do("GET", "k")
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("another user's requests took %v", took)
	}
}

// Requests beyond a limit may be refused: then a transaction with one fails, and the client can still log in, end it and leave.
func TestRequestsBeyondALimitAreRefused(t *testing.T) {
	t.Parallel()
	cfg := withUsers(t, redistest.StartN(t, 2), "user default on nopass +@all ~*", "user alice on >a +@all ~*")
	cfg.Pools[0].UserLimits = limit.Settings{Requests: 4, Refuse: true}
	p := serve(t, cfg)
	c := p.dial()
	const refused = "-ERR max number of requests per second reached for this user: try again later\r\n"
	c.Send(encode("SET", "{a}", "1") + encode("MULTI") + encode("INCR", "{a}") + encode("INCR", "{a}") + encode("INCR", "{a}") + encode("EXEC") +
		encode("GET", "{a}") + "get {a}\r\n" + encode("CLIENT", "REPLY", "SKIP") + encode("AUTH", "alice", "a") + encode("GET", "{a}"))
	c.expectAll("+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n" + refused + "-EXECABORT Transaction discarded because of previous errors.\r\n" + refused + refused + refused + "+OK\r\n$1\r\n1\r\n")
	if n := p.server.Pools()[0].Limits().Counts(limit.AUser, limit.Requests).Refused.Load(); n != 4 {
		t.Errorf("%d were refused", n)
	}
	want(t, c, "+OK", "QUIT")
}

// Requests under way are bounded over all clients of a user. Those that are blocked do not count.
func TestRequestsUnderWayAreLimited(t *testing.T) {
	t.Parallel()
	cfg := withLimits(t, func(p *conf.Pool) { p.Limits = limit.Settings{UnderWay: 2} })
	p := serve(t, cfg)
	var blocked []*raw
	for i := range 4 {
		c := p.dial()
		c.Send(encode("BLPOP", fmt.Sprint("list", i), "0"))
		blocked = append(blocked, c)
	}
	c := p.dial()
	c.Send(strings.Repeat(encode("SET", "a", "1")+encode("GET", "a"), 200))
	c.expectAll(strings.Repeat("+OK\r\n$1\r\n1\r\n", 200))
	for i, b := range blocked {
		want(t, c, ":1", "LPUSH", fmt.Sprint("list", i), "x")
		b.expect(fmt.Sprintf("*2\r\n$5\r\nlist%d\r\n$1\r\nx\r\n", i))
	}
}

// A user, and a network, may have so many clients, which a reload can change, and clients that leave make room.
func TestConnectionsAreLimited(t *testing.T) {
	inClear(t) // a client too many is refused before hands are shaken
	t.Parallel()
	cfg := withUsers(t, redistest.StartN(t, 1), "user default on nopass +@all ~*", "user alice on >a +@all ~*")
	cfg.Pools[0].OwnLimits = map[string]limit.Settings{"alice": {Connections: 1}}
	cfg.Pools[0].NetworkLimits.Connections = 3
	p := serve(t, cfg)
	const many = "-ERR max number of clients reached"
	a, b, c := p.dial(), p.dial(), p.dial()
	want(t, a, "+OK", "AUTH", "alice", "a")
	want(t, a, "+OK", "AUTH", "alice", "a")
	want(t, b, many, "AUTH", "alice", "a")
	want(t, b, "+PONG", "PING")
	want(t, c, "+PONG", "PING")
	p.dial().expect(many + "\r\n")
	want(t, a, "+RESET", "RESET")
	want(t, b, "+OK", "AUTH", "alice", "a")
	want(t, a, many, "HELLO", "3", "AUTH", "alice", "a")
	p.mustReload(func(c *conf.Config) {
		c.Pools[0].OwnLimits = nil
		c.Pools[0].NetworkLimits.Connections = 4
	})
	want(t, a, "+OK", "AUTH", "alice", "a")
	d := p.dial()
	want(t, d, "+PONG", "PING")
	d.Close()
	redistest.Eventually(t, 20*time.Second, "the client to have left", func() bool { return p.server.Clients() == 3 })
	want(t, p.dial(), "+PONG", "PING")
}

// Limits come and go with a reload, also for a client that waits.
func TestLimitsFollowAReload(t *testing.T) {
	t.Parallel()
	p := serve(t, config(t, addrs(redistest.StartN(t, 2))...))
	c := p.dial()
	want(t, c, "+PONG", "PING")
	p.mustReload(func(c *conf.Config) { c.Pools[0].NetworkLimits.Requests = 1 })
	c.Send(strings.Repeat(encode("GET", "a"), 1000))
	c.expect("$-1\r\n")
	p.mustReload(func(c *conf.Config) { c.Pools[0].NetworkLimits.Requests = 0 })
	c.expectAll(strings.Repeat("$-1\r\n", 999))
}

// A client that waits may leave, and the proxy may end.
func TestClientsThatWaitMayLeave(t *testing.T) {
	t.Parallel()
	p := serve(t, withLimits(t, func(p *conf.Pool) { p.Limits = limit.Settings{Requests: 1} }))
	a, b := p.dial(), p.dial()
	for _, c := range []*raw{a, b} {
		c.Send(strings.Repeat(encode("GET", "a"), 10))
	}
	limits := p.server.Pools()[0].Limits()
	redistest.Eventually(t, 20*time.Second, "both to wait", func() bool { return limits.Counts(limit.ThePool, limit.Requests).Delayed.Load() >= 2 })
	a.Close()
	redistest.Eventually(t, 20*time.Second, "one to have left", func() bool { return p.server.Clients() == 1 })
	p.stop()
}

// Who guesses passwords over many connections is slowed down, and so is whoever logs in from there, with a right password or a
// wrong one; from another address nobody is.
func TestGuessesAreLimitedByAddress(t *testing.T) {
	inClear(t) // PROXY headers come before TLS
	t.Parallel()
	cfg := withUsers(t, redistest.StartN(t, 1), "user default off", "user alice on >a +@all ~*")
	cfg.Pools[0].ProxyProtocol = true
	p := serve(t, cfg)
	from := func(addr string) *raw {
		c := p.dial()
		c.Send("PROXY TCP4 " + addr + " 10.0.0.9 1 2\r\n")
		return c
	}
	guess := func(user string) time.Duration {
		c := from("10.0.0.1")
		defer c.Close()
		start := time.Now()
		want(t, c, wrongPassword, "AUTH", user, "x")
		return time.Since(start)
	}
	for range 10 {
		guess("alice")
	}
	var flood []*raw
	for range 50 {
		c := from("10.0.0.1")
		c.Send(encode("AUTH", "nobody", "x"))
		flood = append(flood, c)
	}
	flood[49].expect(wrongPassword + "\r\n") // its turn comes after those of the others, about
	start := time.Now()
	other := from("10.0.0.2")
	want(t, other, "+OK", "AUTH", "alice", "a")
	if took := time.Since(start); took > 4*time.Second { // those of the flood wait for longer
		t.Errorf("a login from another address took %v", took)
	}
	right := from("10.0.0.1")
	want(t, right, "+OK", "AUTH", "alice", "a")
	flood = flood[:0]
	for range 400 {
		flood = append(flood, from("10.0.0.1"))
	}
	for _, c := range flood { // eight seconds' worth at once: the last ones are refused
		c.Send(encode("HELLO", "3", "AUTH", "alice", "x"))
	}
	flood[399].expect("-ERR too many failed logins from this network: try again later\r\n")
	flood[399].expectClosed()
	want(t, right, "+PONG", "PING")
	want(t, from("10.0.0.2"), "+OK", "AUTH", "alice", "a")
}

// What a client owes stays when it goes to another event loop, and what is under way goes with it.
func TestLimitsHoldForClientsThatMove(t *testing.T) {
	t.Parallel()
	cfg := withLimits(t, func(p *conf.Pool) {
		p.NetworkLimits.Bytes, p.NetworkLimits.Refuse = 1<<10, true
		p.Limits = limit.Settings{UnderWay: 1}
	})
	cfg.Proxy.Threads = 2
	p := serve(t, cfg)
	c := p.dial()
	want(t, c, "+OK", "SET", "a", strings.Repeat("x", 1<<20)) // a quarter of an hour's worth
	for target := range 2 {
		p.moveAll(target)
		eventually(t, "the client to have moved", func() bool { return p.sessions()[target] == 1 })
		want(t, c, "-ERR max number of bytes per second reached for this network: try again later", "GET", "b")
	}
	p.mustReload(func(c *conf.Config) { c.Pools[0].NetworkLimits.Bytes = 0 })
	c.Send(strings.Repeat(encode("INCR", "n"), 100)) // one at a time
	for i := range 100 {
		if i == 50 {
			p.moveAll(0)
			p.moveAll(1)
		}
		c.expect(fmt.Sprintf(":%d\r\n", i+1))
	}
	c.Close()
	want(t, p.dial(), ":101", "INCR", "n")
}
