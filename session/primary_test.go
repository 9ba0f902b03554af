package session_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/conf"
	"ringway/hashring"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pool"
)

// serveGroup runs a proxy in front of a primary and its replicas. The test sets their roles
// in the pool, in place of the control plane.
func serveGroup(t *testing.T, g *redistest.Group, change func(*conf.Pool)) (*proxy, *pool.Pool) {
	t.Helper()
	cfg := replicatedConfig(t, g.Primary.Addr())
	if change != nil {
		change(&cfg.Pools[0])
	}
	p := serve(t, cfg)
	return p, p.server.Pools()[0]
}

// replicatedConfig returns a configuration with one pool of one shard, whose primary
// the test names.
func replicatedConfig(t *testing.T, server string) *conf.Config {
	t.Helper()
	text := fmt.Sprintf("[pools.alpha]\nlisten = \"127.0.0.1:2\"\ntopology = \"replicated\"\nfailover_wait = \"20s\"\n"+
		"[[pools.alpha.shards]]\nname = \"s1\"\nservers = [%q]\n", server)
	cfg, _, err := conf.Parse([]byte(text), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Pools[0].Listen.Addr = "127.0.0.1:0"
	return cfg
}

func view(primary *redistest.Server, replicas ...*redistest.Server) (v pool.View) {
	if primary != nil {
		v.Primary.Addr = primary.Addr()
	}
	for _, r := range replicas {
		v.Replicas = append(v.Replicas, pool.Member{Addr: r.Addr()})
	}
	return v
}

// expectSilence fails the test if a reply comes within a moment.
func (c *raw) expectSilence() {
	c.t.Helper()
	c.NetConn().SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	defer c.NetConn().SetReadDeadline(time.Time{})
	if n, err := c.NetConn().Read(make([]byte, 1)); n > 0 || err == nil {
		c.t.Fatal("a reply, too early")
	}
}

func TestRequestsWaitForAPrimaryToBeFound(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 0)
	p, pl := serveGroup(t, g, nil)
	c := p.dial()
	c.Send(encode("SET", "k", "v") + encode("GET", "k") + encode("MGET", "k", "l"))
	c.expectSilence()
	pl.SetView(0, view(g.Primary))
	c.expect("+OK\r\n", "$1\r\nv\r\n", "*2\r\n$1\r\nv\r\n$-1\r\n")
}

func TestWaitingForAPrimaryEndsAndThenRequestsFailAtOnce(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 0)
	p, pl := serveGroup(t, g, func(c *conf.Pool) { c.FailoverWait = 200 * time.Millisecond })
	c := p.dial()
	c.Send(encode("SET", "k", "v"))
	const none = "-ERR no primary is known: the request was not sent\r\n"
	answered := make(chan struct{})
	var told sync.WaitGroup
	told.Go(func() { // the same again is no reason to wait for longer
		for {
			select {
			case <-answered:
				return
			case <-time.After(20 * time.Millisecond):
				pl.SetView(0, pool.View{})
			}
		}
	})
	c.expect(none)
	close(answered)
	told.Wait()
	c.Send(encode("SET", "k", "v"))
	c.expect(none)
	pl.SetView(0, view(g.Primary))
	redistest.Eventually(t, 30*time.Second, "writes work", func() bool { return c.Do("SET", "k", "v") == "+OK\r\n" })
	g.Primary.Kill()
	redistest.Eventually(t, 30*time.Second, "writes fail", func() bool {
		return strings.HasPrefix(c.Do("SET", "k", "v"), "-ERR Connection refused")
	})
	g.Primary.Restart()
	redistest.Eventually(t, 30*time.Second, "writes work again", func() bool { return c.Do("SET", "k", "v") == "+OK\r\n" })
}

func TestHeldWritesWaitAndReadsGoOn(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, nil)
	pl.SetView(0, view(g.Primary))
	w, r := p.dial(), p.dial()
	w.Send(encode("SET", "k", "1"))
	w.expect("+OK\r\n")
	pl.Hold(0)
	p.sessions() // every loop has heard of it
	w.Send(encode("SET", "k", "2"))
	w.expectSilence()
	if got := r.Do("GET", "k"); got != "$1\r\n1\r\n" {
		t.Fatalf("GET while writes are held: %q", got)
	}
	g.Replicas[0].Do("REPLICAOF", "NO", "ONE")
	pl.SetView(0, view(g.Replicas[0]))
	w.expect("+OK\r\n")
	if got := g.Replicas[0].Do("GET", "k"); got != "$1\r\n2\r\n" {
		t.Errorf("at the new primary: %q", got)
	}
	if got := g.Primary.Do("GET", "k"); got != "$1\r\n1\r\n" {
		t.Errorf("at the old primary: %q", got)
	}
	pl.Hold(0)
	p.sessions()
	w.Send(encode("INCR", "n"))
	w.expectSilence()
	pl.Release(0)
	w.expect(":1\r\n")
}

// Writes that a demoted primary refuses wait for the new one, in order. So do reads behind
// them: the demoted primary would answer them without those writes.
func TestRefusedWritesWaitForTheNewPrimary(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, nil)
	pl.SetView(0, view(g.Primary))
	c := p.dial()
	script := func(text string) string {
		return encode("EVAL", "return redis.call('append', KEYS[1], ARGV[1])", "1", "a", text)
	}
	c.Send(script("") + encode("SET", "k", "v")) // it is known from now on to be quick
	c.expect(":0\r\n", "+OK\r\n")
	redistest.Eventually(t, 30*time.Second, "the replica has it", func() bool { return g.Replicas[0].Do("EXISTS", "k") == ":1\r\n" })
	// The replica first: a primary that follows one that is no primary is none.
	g.Replicas[0].Do("REPLICAOF", "NO", "ONE")
	g.Primary.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(g.Replicas[0].Port()))
	c.Send(script("1") + script("2") + encode("APPEND", "a", "3") + encode("GET", "a") + script("4") + encode("MGET", "a", "b") +
		encode("MULTI") + encode("APPEND", "a", "5") + encode("EXEC") + encode("MSET", "x", "1", "y", "2") + script("6"))
	c.expectSilence()
	pl.SetView(0, view(g.Replicas[0]))
	c.expect(":1\r\n", ":2\r\n", ":3\r\n", "$3\r\n123\r\n", ":4\r\n", "*2\r\n$4\r\n1234\r\n$-1\r\n",
		"+OK\r\n", "+QUEUED\r\n", "*1\r\n:5\r\n", "+OK\r\n", ":6\r\n")
	if got := c.Do("GET", "a"); got != "$6\r\n123456\r\n" {
		t.Errorf("in the end: %q", got)
	}
}

// Requests that a primary was sent, and then refuses since it is a replica, go to
// the new one before what their client has sent since: also if no primary was
// known for a moment, and if the old one takes long to answer. Others go on then.
func TestRefusedWritesKeepTheirOrder(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	const script = "return redis.call('append', KEYS[1], ARGV[1])"
	appends := map[string][]string{"command": {"APPEND", "a"}, "script": {"EVAL", script, "1", "a"}}
	for _, tt := range []struct {
		name      string
		gap, late bool
		by        string
	}{
		{name: "refused at once", by: "command"},
		{name: "no primary for a moment", gap: true, by: "command"},
		{name: "refused late", late: true, by: "command"},
		{name: "no primary for a moment, refused late", gap: true, late: true, by: "command"},
		{name: "script refused at once", by: "script"},
		{name: "no primary for a moment, script refused", gap: true, by: "script"},
		{name: "script refused late", late: true, by: "script"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := redistest.StartGroup(t, 1)
			next := g.Replicas[0]
			p, pl := serveGroup(t, g, func(c *conf.Pool) { c.Timeout = 20 * time.Second })
			pl.SetView(0, view(g.Primary))
			c := p.dial()
			add := func(text string) string { return encode(append(appends[tt.by], text)...) }
			c.Do("EVAL", script, "1", "before", "") // it is known from now on to be quick
			g.Primary.Do("CLIENT", "PAUSE", "60000", "WRITE")
			c.Send(add("1") + encode("GET", "a"))
			redistest.Eventually(t, 30*time.Second, "it is held back", func() bool {
				return strings.Contains(g.Primary.Do("INFO", "clients"), "blocked_clients:1")
			})
			if tt.gap {
				pl.SetView(0, pool.View{})
			}
			next.Do("REPLICAOF", "NO", "ONE")
			g.Primary.Do("REPLICAOF", "127.0.0.1", strconv.Itoa(next.Port()))
			pl.SetView(0, view(next))
			p.sessions() // every loop has heard of it
			c.Send(add("2") + encode("GET", "a") + encode("MGET", "a", "b"))
			if tt.late {
				if got := p.dial().Do("SET", "k", "v"); got != "+OK\r\n" {
					t.Errorf("a client that nothing is under way of: %q", got)
				}
				c.expectSilence()
			}
			g.Primary.Do("CLIENT", "UNPAUSE")
			c.expect(":1\r\n", "$1\r\n1\r\n", ":2\r\n", "$2\r\n12\r\n", "*2\r\n$2\r\n12\r\n$-1\r\n")
		})
	}
}

// A client that had to wait for a late answer then pipelines as before.
func TestAfterALateAnswerAClientPipelinesAgain(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	old := fakeredis.Start(t, fakeredis.Script{fakeredis.Expect("SET", "k", "1"), fakeredis.Wait(answer), fakeredis.Reply("+OK\r\n")})
	next := fakeredis.Start(t, fakeredis.Script{
		fakeredis.Expect("SET", "other", "1"), fakeredis.Reply("+OK\r\n"), fakeredis.ExpectAny(3), fakeredis.Reply(strings.Repeat("+OK\r\n", 3)),
	})
	p, pl := serveGroup(t, redistest.StartGroup(t, 0), func(c *conf.Pool) { c.Timeout, c.ReplyCheck = 20*time.Second, 0 })
	pl.SetView(0, pool.View{Primary: pool.Member{Addr: old.Addr()}})
	c := p.dial()
	c.Send(encode("SET", "k", "1"))
	old.WaitRequests(1)
	pl.SetView(0, pool.View{Primary: pool.Member{Addr: next.Addr()}})
	p.sessions()
	if got := p.dial().Do("SET", "other", "1"); got != "+OK\r\n" {
		t.Errorf("a client that nothing is under way of: %q", got)
	}
	close(answer)
	c.expect("+OK\r\n")
	c.Send(strings.Repeat(encode("SET", "k", "2"), 3))
	c.expect("+OK\r\n", "+OK\r\n", "+OK\r\n")
}

func TestBlockedClientsAreToldWhenThePrimaryChanges(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, nil)
	pl.SetView(0, view(g.Primary))
	c, w := p.dial(), p.dial()
	c.Send(encode("BLPOP", "l", "0"))
	redistest.Eventually(t, 30*time.Second, "a client is blocked", func() bool {
		return strings.Contains(g.Primary.Do("INFO", "clients"), "blocked_clients:1")
	})
	if got := w.Do("WATCH", "k"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	g.Replicas[0].Do("REPLICAOF", "NO", "ONE")
	pl.SetView(0, view(g.Replicas[0]))
	c.expect("-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n")
	w.Send(encode("MULTI") + encode("SET", "k", "v") + encode("EXEC"))
	w.expect("+OK\r\n", "+QUEUED\r\n", "*-1\r\n")
	c.Send(encode("RPUSH", "l", "x") + encode("BLPOP", "l", "0"))
	c.expect(":1\r\n", "*2\r\n$1\r\nl\r\n$1\r\nx\r\n")
}

// A primary that hands over holds writes back, and refuses them once it is a
// replica. Blocking requests among them go to the new one, though that is known
// before.
func TestBlockingRequestThatIsHeldBackGoesToTheNewPrimary(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, nil)
	pl.SetView(0, view(g.Primary))
	c := p.dial()
	if got := c.Do("RPUSH", "l", "x"); got != ":1\r\n" {
		t.Fatal(got)
	}
	redistest.Eventually(t, 30*time.Second, "the replica has it", func() bool { return g.Replicas[0].Do("EXISTS", "l") == ":1\r\n" })
	g.Primary.Do("CLIENT", "PAUSE", "60000", "WRITE")
	c.Send(encode("BLPOP", "l", "0"))
	redistest.Eventually(t, 30*time.Second, "it is held back", func() bool {
		return strings.Contains(g.Primary.Do("INFO", "clients"), "blocked_clients:1")
	})
	g.Replicas[0].Do("REPLICAOF", "NO", "ONE")
	pl.SetView(0, view(g.Replicas[0]))
	redistest.Eventually(t, 30*time.Second, "writes go to the new one", func() bool {
		p.dial().Do("SET", "k", "v")
		return g.Replicas[0].Do("EXISTS", "k") == ":1\r\n"
	})
	g.Primary.Do("REPLICAOF", "127.0.0.1", strconv.Itoa(g.Replicas[0].Port()))
	g.Primary.Do("CLIENT", "UNPAUSE")
	c.expect("*2\r\n$1\r\nl\r\n$1\r\nx\r\n")
}

// What the last primary answers late does not keep the connection: the transaction
// after it must not be executed there.
func TestTransactionDoesNotGoToThePrimaryThatAnsweredLate(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, nil)
	pl.SetView(0, view(g.Primary))
	c := p.dial()
	if got := c.Do("WATCH", "k"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	c.Send(encode("BLPOP", "l", "0"))
	redistest.Eventually(t, 30*time.Second, "the client is blocked", func() bool {
		return strings.Contains(g.Primary.Do("INFO", "clients"), "blocked_clients:1")
	})
	g.Replicas[0].Do("REPLICAOF", "NO", "ONE") // and the last primary does not know
	pl.SetView(0, view(g.Replicas[0]))
	redistest.Eventually(t, 30*time.Second, "writes go to the new one", func() bool {
		p.dial().Do("SET", "there", "v")
		return g.Replicas[0].Do("EXISTS", "there") == ":1\r\n"
	})
	g.Primary.Do("RPUSH", "l", "x")
	if got := c.Reply(); got != "*2\r\n$1\r\nl\r\n$1\r\nx\r\n" && !strings.HasPrefix(got, "-UNBLOCKED ") { // that, if all took long
		t.Errorf("BLPOP: %q", got)
	}
	c.Send(encode("MULTI") + encode("SET", "k", "v") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "*-1\r\n")
	if got := g.Primary.Do("EXISTS", "k"); got != ":0\r\n" {
		t.Error("the transaction was executed by the last primary")
	}
}

func TestSubscriptionsFollowThePrimary(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, nil)
	pl.SetView(0, view(g.Primary))
	c, w := p.dial(), p.dial()
	c.Send(encode("SUBSCRIBE", "ch"))
	c.expect("*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n")
	g.Replicas[0].Do("REPLICAOF", "NO", "ONE")
	pl.SetView(0, view(g.Replicas[0]))
	redistest.Eventually(t, 30*time.Second, "the message has a receiver", func() bool { return w.Do("PUBLISH", "ch", "m") == ":1\r\n" })
	c.expect("*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n")
}

func TestDisputedPrimaryGetsNoWrites(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 0)
	p, pl := serveGroup(t, g, nil)
	c := p.dial()
	v := view(g.Primary)
	v.Refuse = "ERR two servers say that they are primary"
	pl.SetView(0, v)
	for _, request := range [][]string{{"SET", "k", "v"}, {"BLPOP", "k", "0"}} {
		if got := c.Do(request...); got != "-ERR two servers say that they are primary\r\n" {
			t.Errorf("%q: %q", request, got)
		}
	}
	if got := c.Do("GET", "k"); got != "$-1\r\n" {
		t.Errorf("GET: %q", got)
	}
	pl.SetView(0, view(g.Primary))
	redistest.Eventually(t, 30*time.Second, "writes work", func() bool { return c.Do("SET", "k", "v") == "+OK\r\n" })
}

func TestReadsGoToReplicasAndComeBackWhenTheyFail(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, func(c *conf.Pool) { c.ReadFrom = conf.ReadPreferReplica })
	pl.SetView(0, view(g.Primary, g.Replicas[0]))
	c := p.dial()
	c.Send(encode("SET", "k", "v"))
	c.expect("+OK\r\n")
	reads := func(s *redistest.Server) bool {
		return strings.Contains(s.Do("INFO", "commandstats"), "cmdstat_get:")
	}
	redistest.Eventually(t, 30*time.Second, "the replica has it", func() bool { return c.Do("GET", "k") == "$1\r\nv\r\n" })
	if !reads(g.Replicas[0]) || reads(g.Primary) {
		t.Error("reads do not go to the replica, or not only")
	}
	c.Send(encode("MGET", "k", "l"))
	c.expect("*2\r\n$1\r\nv\r\n$-1\r\n")
	g.Replicas[0].Kill()
	for range 20 {
		if got := c.Do("GET", "k"); got != "$1\r\nv\r\n" {
			t.Fatalf("GET while the replica is gone: %q", got)
		}
	}
}

func TestReadsOfReplicasAloneSayWhenThereIsNone(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 0)
	p, pl := serveGroup(t, g, func(c *conf.Pool) { c.ReadFrom = conf.ReadReplica })
	pl.SetView(0, view(g.Primary))
	c := p.dial()
	c.Send(encode("SET", "k", "v"))
	c.expect("+OK\r\n")
	if got := c.Do("GET", "k"); !strings.HasPrefix(got, "-ERR no replica of this shard is fit to be read") {
		t.Errorf("GET: %q", got)
	}
}

func TestASlowReadIsHedged(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, func(c *conf.Pool) { c.ReadFrom, c.HedgeAfter = conf.ReadPreferReplica, 20*time.Millisecond })
	pl.SetView(0, view(g.Primary, g.Replicas[0]))
	c := p.dial()
	c.Send(encode("SET", "k", "v"))
	c.expect("+OK\r\n")
	redistest.Eventually(t, 30*time.Second, "the replica has it", func() bool { return g.Replicas[0].Do("GET", "k") == "$1\r\nv\r\n" })
	g.Replicas[0].Stop()
	for range 50 {
		c.Send(encode("GET", "k") + encode("GET", "none"))
	}
	for range 50 {
		c.expect("$1\r\nv\r\n", "$-1\r\n")
	}
	if moves := p.server.Figures().Pools[0].Moves; moves.Hedges == 0 || moves.HedgesWon == 0 || moves.HedgesWon > moves.Hedges {
		t.Errorf("%d reads were sent twice, %d of them won", moves.Hedges, moves.HedgesWon)
	}
	g.Replicas[0].Cont()
	for range 50 {
		c.Send(encode("GET", "k"))
		c.expect("$1\r\nv\r\n")
	}
}

// A transaction that is refused is tried again and again, as a whole.
func TestARefusedTransactionWaitsForTheNewPrimary(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, nil)
	pl.SetView(0, view(g.Primary))
	c := p.dial()
	c.Send(encode("SET", "k", "v"))
	c.expect("+OK\r\n")
	redistest.Eventually(t, 30*time.Second, "the replica has it", func() bool { return g.Replicas[0].Do("GET", "k") == "$1\r\nv\r\n" })
	g.Replicas[0].Do("REPLICAOF", "NO", "ONE")
	g.Primary.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(g.Replicas[0].Port()))
	c.Send(encode("MULTI") + encode("INCR", "n") + encode("GET", "k") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n")
	redistest.Eventually(t, 30*time.Second, "it was tried several times", func() bool {
		_, calls, _ := strings.Cut(g.Primary.Do("INFO", "commandstats"), "cmdstat_exec:calls=")
		n, _, _ := strings.Cut(calls, ",")
		return len(n) > 1 || n > "3"
	})
	pl.SetView(0, view(g.Replicas[0]))
	c.expect("*2\r\n:1\r\n$1\r\nv\r\n")
	if got := c.Do("GET", "n"); got != "$1\r\n1\r\n" {
		t.Errorf("executed several times, or not at all: %q", got)
	}
}

// A transaction with SELECT that a server has refused changes no connection of other clients.
func TestARefusedTransactionWithSelect(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, func(c *conf.Pool) { c.Databases = 16 })
	pl.SetView(0, view(g.Primary))
	c := p.dial()
	c.Send(encode("SET", "k", "v"))
	c.expect("+OK\r\n")
	redistest.Eventually(t, 30*time.Second, "the replica has it", func() bool { return g.Replicas[0].Do("GET", "k") == "$1\r\nv\r\n" })
	g.Replicas[0].Do("REPLICAOF", "NO", "ONE")
	g.Primary.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(g.Replicas[0].Port()))
	c.Send(encode("MULTI") + encode("SET", "a", "0") + encode("SELECT", "3") + encode("SET", "a", "3") + encode("EXEC") + encode("GET", "a"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n")
	redistest.Eventually(t, 30*time.Second, "it was refused and sent again", func() bool {
		_, calls, _ := strings.Cut(g.Primary.Do("INFO", "commandstats"), "cmdstat_exec:calls=")
		n, _, _ := strings.Cut(calls, ",")
		return len(n) > 1 || n > "1"
	})
	pl.SetView(0, view(g.Replicas[0]))
	c.expect("*3\r\n+OK\r\n+OK\r\n+OK\r\n", "$1\r\n3\r\n")
	for range 8 { // over each connection of the client's loop and others
		if got := p.dial().Do("GET", "a"); got != "$1\r\n0\r\n" {
			t.Errorf("another client, in database 0: %q", got)
		}
	}
}

// A server that has been a primary before, but has served no slot since, is one
// again by what another says: requests with a connection of their own go there.
func TestBlockingRequestGoesToAPrimaryThatIsOneAgain(t *testing.T) {
	t.Parallel()
	again := redistest.Start(t)
	again.Do("RPUSH", "queue", "x")
	moved := fmt.Sprintf("-MOVED %d %s\r\n", hashring.Slot([]byte("queue")), again.Addr())
	other := fakeredis.StartHandler(t, func(c *fakeredis.Conn, _ []string) { c.Reply(moved) })
	cfg := config(t, other.Addr())
	cfg.Pools[0].Topology, cfg.Pools[0].FailoverWait = conf.Cluster, 20*time.Second
	p := serve(t, cfg)
	all := pool.ClusterShard{ID: "a", Slots: []pool.SlotRange{{First: 0, Last: 16383}}}
	all.Primary.Addr = other.Addr()
	p.server.Pools()[0].SetCluster([]pool.ClusterShard{all, {ID: "b", View: view(again)}})
	p.server.Pools()[0].SetCluster([]pool.ClusterShard{all})
	c := p.dial()
	c.Send(encode("BLPOP", "queue", "20"))
	c.expect("*2\r\n$5\r\nqueue\r\n$1\r\nx\r\n")
}

// A client that subscribes while no primary is known waits for one as long as other requests
// do, and then gets an error. No drain waits for it.
func TestSubscribingWithoutAPrimary(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for _, command := range []string{"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"} {
		t.Run(command, func(t *testing.T) {
			server := redistest.Start(t)
			cfg := replicatedConfig(t, server.Addr())
			cfg.Pools[0].FailoverWait = 150 * time.Millisecond
			p := serve(t, cfg)
			pl := p.server.Pools()[0]
			c := p.dial()
			for range 2 {
				c.Send(encode(command, "news"))
				c.expect("-ERR no primary is known: the request was not sent\r\n")
			}
			pl.SetView(0, view(server))
			confirmed := fmt.Sprintf("*3\r\n$%d\r\n%s\r\n$4\r\nnews\r\n:1\r\n", len(command), strings.ToLower(command))
			eventually(t, "it can be subscribed to", func() bool {
				c.Send(encode(command, "news"))
				return c.Reply() == confirmed
			})
			other := p.dial()
			pl.SetView(0, pool.View{})
			other.Send(encode(command, "news"))
			other.expect("-ERR no primary is known: the request was not sent\r\n")
			other.Send(encode(command, "sport"))
			pl.SetView(0, view(server))
			other.expect(strings.Replace(confirmed, "$4\r\nnews", "$5\r\nsport", 1))
		})
	}
}
