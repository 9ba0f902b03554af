package session_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pool"
)

// Requests that block on keys of several shards get the same bytes as from one Redis.
func TestBlockingPopsAcrossShardsAreThoseOfOneRedis(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, servers := serveShards(t, 4)
	single := redistest.Start(t)
	keys := keysOnEach(t, p, servers)
	list := func(args ...string) []string { return append(append([]string{args[0]}, keys...), args[1:]...) }
	nested := func(args ...string) []string {
		return append(append([]string{args[0], args[1], fmt.Sprint(len(keys))}, keys...), args[2:]...)
	}
	requests := [][]string{
		list("BLPOP", "0.01"), list("BRPOP", "0.01"), list("BZPOPMIN", "0.01"), list("BZPOPMAX", "0.01"),
		nested("BLMPOP", "0.01", "LEFT"), nested("BLMPOP", "0.01", "RIGHT", "COUNT", "2"), nested("BZMPOP", "0.01", "MIN"), nested("BZMPOP", "0.01", "MAX", "COUNT", "2"),
		list("BLPOP", "x"), list("BLPOP", "-1"), list("BLPOP", ""), list("BZPOPMIN", "nan"),
		nested("BLMPOP", "0.01", "MIDDLE"), nested("BLMPOP", "0.01", "LEFT", "COUNT"), nested("BLMPOP", "0.01", "LEFT", "COUNT", "0"), nested("BLMPOP", "0.01", "LEFT", "COUNT", "x"), nested("BZMPOP", "0.01", "LEFT"),
		nested("BLMPOP", "x", "LEFT"), nested("BLMPOP", "-1", "LEFT"),
	}
	requests = append(requests, list(append([]string{"BLPOP"}, append(slices.Clone(keys), "0.01")...)...))
	fillings := [][]string{
		nil, {"RPUSH", keys[3], "a", "b", "c"}, {"RPUSH", keys[1], "a", "b", "c"}, {"ZADD", keys[2], "1", "a", "2.5", "b"}, {"ZADD", keys[0], "-1", "a", "inf", "b"},
		{"SET", keys[2], "string"}, {"SET", keys[0], "string"},
	}
	for _, protocol := range []string{"2", "3"} {
		through, direct := p.dial(), redistest.Dial(t, "tcp", single.Addr())
		both := func(args ...string) {
			t.Helper()
			want, got := direct.Do(args...), through.Do(args...)
			if got != want {
				t.Errorf("RESP%s, %q: %q, want %q", protocol, args, got, want)
			}
		}
		direct.Do("HELLO", protocol)
		through.Do("HELLO", protocol)
		for i, first := range fillings {
			for _, second := range fillings[i:] {
				direct.Do("FLUSHALL")
				for _, s := range servers {
					s.Do("FLUSHALL")
				}
				for _, f := range [][]string{first, second} {
					if f != nil {
						both(f...)
					}
				}
				for _, r := range requests {
					both(r...)
				}
			}
		}
	}
}

// A request that waits gets what is pushed, whichever shard has the key.
func TestPushToAnyShardWakesWhoWaits(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 4)
	keys := keysOnEach(t, p, servers)
	c, pusher := p.dial(), p.dial()
	for round := range 3 {
		for _, key := range keys {
			c.Send(encode(append(append([]string{"BLPOP"}, keys...), "0")...))
			if round == 1 {
				p.awaitWaiting(1)
			}
			pusher.Do("RPUSH", key, "v")
			c.expect("*2\r\n" + bulk(key) + bulk("v"))
			c.Send(encode(append(append([]string{"BZPOPMIN"}, keys...), "0")...))
			if round == 1 {
				p.awaitWaiting(1)
			}
			pusher.Do("ZADD", key, "1", "v")
			c.expect("*3\r\n" + bulk(key) + bulk("v") + bulk("1"))
		}
	}
}

// awaitWaiting waits until so many clients wait for keys of several shards, their keys
// counted.
func (p *proxy) awaitWaiting(n int) {
	p.t.Helper()
	eventually(p.t, "clients wait", func() bool {
		waiting := 0
		for _, w := range p.server.Workers() {
			waiting += w.WaitingOnShards()
		}
		return waiting == n
	})
}

// Each element goes to one of those who wait, on whatever loop, also when clients come and
// go, and servers are restarted meanwhile.
func TestElementsGoToOneWaiterEach(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	servers := redistest.StartN(t, 4)
	cfg := config(t, addrs(servers)...)
	cfg.Proxy.Threads = 2
	p := serve(t, cfg)
	keys := keysOnEach(t, p, servers)
	const waiters, elements = 8, 400
	got := make(chan string, elements)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range waiters {
		c := p.dial()
		wg.Go(func() {
			for {
				reply := c.Do(append(append([]string{"BLPOP"}, keys...), "0.2")...)
				if fields := strings.Split(reply, "\r\n"); len(fields) == 6 {
					got <- fields[4]
					continue
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	wg.Go(func() { // clients that leave
		for range 40 {
			c := p.dial()
			c.Send(encode("BLPOP", keys[0], keys[1], "none", "0"))
			c.Close()
		}
	})
	pusher := p.dial()
	for i := range elements {
		if got := pusher.Do("RPUSH", keys[2+i%2], fmt.Sprint("e", i)); got[0] != ':' {
			t.Fatalf("RPUSH: %q", got)
		}
	}
	seen := map[string]bool{}
	for range elements {
		select {
		case e := <-got:
			if seen[e] {
				t.Fatalf("%s came twice", e)
			}
			seen[e] = true
		case <-time.After(30 * time.Second):
			t.Fatalf("%d of %d elements came", len(seen), elements)
		}
	}
	close(stop)
	wg.Wait()
}

// Who waits goes on to wait when a server is restarted.
func TestWaitingOutlastsARestart(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	c, pusher := p.dial(), p.dial()
	c.Send(encode("BLPOP", keys[0], keys[1], "0"))
	p.awaitWaiting(1)
	servers[1].Restart()
	eventually(t, "the server is back", func() bool { return pusher.Do("RPUSH", keys[1], "v")[0] == ':' })
	c.expect("*2\r\n" + bulk(keys[1]) + bulk("v"))
}

// serveFakes runs a proxy in front of two servers that do what handle does; keys a and b
// are on one each.
func serveFakes(t *testing.T, handle func(c *fakeredis.Conn, args []string)) *proxy {
	t.Helper()
	a, b := fakeredis.StartHandler(t, handle), fakeredis.StartHandler(t, handle)
	cfg := config(t, a.Addr(), b.Addr())
	cfg.Pools[0].Distribution = "modula"
	cfg.Pools[0].ReplyCheck = 0 // the servers have no ECHO
	p := serve(t, cfg)
	if m := p.server.Pools()[0].Map(); m.Index([]byte("a")) == m.Index([]byte("b")) {
		t.Fatal("both keys are on one server")
	}
	return p
}

// What was popped for a client that left meanwhile is put back where it was.
func TestElementOfAClientThatLeftIsPutBack(t *testing.T) {
	t.Parallel()
	for _, f := range []struct{ request, count, pop, reply, back string }{
		{"BLPOP a b 0", "LLEN", "LPOP", bulk("x"), "LPUSH a x"},
		{"BRPOP a b 0", "LLEN", "RPOP", bulk("x"), "RPUSH a x"},
		{"BZPOPMIN a b 0", "ZCARD", "ZPOPMIN", "*2\r\n" + bulk("m") + bulk("1.5"), "ZADD a 1.5 m"},
		{"BLMPOP 0 2 a b LEFT COUNT 3", "LLEN", "LMPOP", "*2\r\n" + bulk("a") + "*2\r\n" + bulk("x") + bulk("y"), "LPUSH a y x"},
		{"BLMPOP 0 2 a b RIGHT COUNT 3", "LLEN", "LMPOP", "*2\r\n" + bulk("a") + "*2\r\n" + bulk("x") + bulk("y"), "RPUSH a y x"},
		{"BZMPOP 0 2 a b MIN COUNT 3", "ZCARD", "ZMPOP", "*2\r\n" + bulk("a") + "*2\r\n*2\r\n" + bulk("x") + bulk("1") + "*2\r\n" + bulk("y") + bulk("2"), "ZADD a 1 x ZADD a 2 y"},
	} {
		t.Run(strings.Fields(f.request)[0], func(t *testing.T) {
			popped, goOn := make(chan struct{}, 1), make(chan struct{})
			back := make(chan string, 4)
			handle := func(c *fakeredis.Conn, args []string) {
				switch {
				case args[0] == "HELLO", args[0] == "CLIENT":
					c.Reply("+OK\r\n")
				case args[0] == f.count && args[1] == "a":
					c.Reply(":1\r\n")
				case args[0] == f.count:
					c.Reply(":0\r\n")
				case args[0] == f.pop:
					popped <- struct{}{}
					<-goOn
					c.Reply(f.reply)
				default:
					back <- strings.Join(args, " ")
					c.Reply(":1\r\n")
				}
			}
			p := serveFakes(t, handle)
			c := p.dial()
			c.Send(encode(strings.Fields(f.request)...))
			<-popped
			c.Close()
			eventually(t, "the client is gone", func() bool { return slices.Max(p.sessions()) == 0 })
			close(goOn)
			got := <-back
			if strings.Count(f.back, "ZADD") == 2 {
				got += " " + <-back
			}
			if got != f.back {
				t.Errorf("%q, want %q", got, f.back)
			}
		})
	}
}

// Servers that can't report changes leave things as they are: the client is told.
func TestServersWithoutTrackingRefuseKeysOfSeveralShards(t *testing.T) {
	t.Parallel()
	handle := func(c *fakeredis.Conn, args []string) {
		if args[0] == "HELLO" {
			c.Reply("-ERR unknown command 'HELLO'\r\n")
			return
		}
		c.Reply("+OK\r\n")
	}
	c := serveFakes(t, handle).dial()
	for range 3 {
		c.Send(encode("BLPOP", "a", "b", "0") + encode("PING"))
		if got := c.Reply(); !strings.HasPrefix(got, "-CROSSSLOT ") {
			t.Errorf("%q", got)
		}
		c.expect("+PONG\r\n")
	}
	if got := c.Do("INFO", "ringway"); !strings.Contains(got, "servers_down:0\r\n") {
		t.Errorf("INFO: %q", got)
	}
}

func TestWaitingOnShardsEndsOnRequest(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	c, other := p.dial(), p.dial()
	id := strings.Trim(c.Do("CLIENT", "ID"), ":\r\n")
	for _, f := range []struct{ mode, want string }{{"TIMEOUT", "*-1\r\n"}, {"ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"}} {
		c.Send(encode("BLPOP", keys[0], keys[1], "0"))
		p.awaitWaiting(1)
		if got := other.Do("CLIENT", "LIST", "ID", id); !strings.Contains(got, " flags=b ") {
			t.Errorf("CLIENT LIST: %q", got)
		}
		if got := other.Do("CLIENT", "UNBLOCK", id, f.mode); got != ":1\r\n" {
			t.Errorf("CLIENT UNBLOCK: %q", got)
		}
		c.expect(f.want)
	}
	c.Send(encode("BLPOP", keys[0], keys[1], "0"))
	p.awaitWaiting(1)
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if got := c.Reply(); !strings.HasPrefix(got, "-UNBLOCKED ") {
		t.Errorf("when the proxy stops: %q", got)
	}
}

// A server that accepts and says nothing does not keep a request beyond its timeout.
func TestWaitingOnHungServersEndsInTime(t *testing.T) {
	t.Parallel()
	p := serveFakes(t, func(*fakeredis.Conn, []string) {})
	c := p.dial()
	c.Send(encode("BLPOP", "a", "b", "0.05") + encode("ECHO", "x"))
	c.expect("*-1\r\n", "$1\r\nx\r\n")
}

// Nothing is popped for a client that has ended its side while it waited.
func TestNothingIsPoppedForAHalfClosedClientThatWaits(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	c, pusher := p.dial(), p.dial()
	c.Send(encode("BLPOP", keys[0], keys[1], "0"))
	p.awaitWaiting(1)
	c.closeWrite()
	pusher.Do("RPUSH", keys[0], "v")
	c.expectClosed()
	if got := pusher.Do("LLEN", keys[0]); got != ":1\r\n" {
		t.Errorf("LLEN %q: the element is gone", got)
	}
}

// CLIENT PAUSE WRITE holds such a request back, as others that write to several shards.
func TestPauseHoldsPopsOverShardsBack(t *testing.T) {
	t.Parallel()
	p, servers := servePausable(t, 2)
	keys := keysOnEach(t, p, servers)
	c, other := p.dial(), p.dial()
	other.Do("RPUSH", keys[1], "v")
	other.Do("CLIENT", "PAUSE", "60000", "WRITE")
	c.Send(encode("BLPOP", keys[0], keys[1], "0"))
	other.Do("CLIENT", "UNPAUSE")
	c.expect("*2\r\n" + bulk(keys[1]) + bulk("v"))
}

// An ACL user waits for the keys that it may use, and hears at once which it may not.
func TestACLUsersWaitForKeysOfSeveralShards(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	for _, s := range servers {
		s.Do("ACL", "SETUSER", "worker", "on", ">pw", "+@all", "~*:probe")
	}
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].ACLUsers = 4
	p := serve(t, cfg)
	keys := keysOnEach(t, p, servers)
	c, pusher := p.dial(), p.dial()
	if got := c.Do("AUTH", "worker", "pw"); got != "+OK\r\n" {
		t.Fatalf("AUTH: %q", got)
	}
	for _, key := range keys {
		c.Send(encode("BLPOP", keys[0], keys[1], "0"))
		p.awaitWaiting(1)
		pusher.Do("RPUSH", key, "v")
		c.expect("*2\r\n" + bulk(key) + bulk("v"))
	}
	other := keys[0]
	for i := 0; other == keys[0] || p.server.Pools()[0].Map().Index([]byte(other)) == p.server.Pools()[0].Map().Index([]byte(keys[0])); i++ {
		other = fmt.Sprint("other:", i)
	}
	pusher.Do("RPUSH", other, "v")
	for _, args := range [][]string{{"BLPOP", keys[0], other, "0"}, {"XREAD", "BLOCK", "0", "STREAMS", keys[0], other, "0", "0"}, {"XREADGROUP", "GROUP", "g", "c", "STREAMS", keys[0], other, ">", ">"}} {
		if got := c.Do(args...); !strings.HasPrefix(got, "-NOPERM ") {
			t.Errorf("%q: %q", args, got)
		}
	}
	servers[0].Do("ACL", "SETUSER", "worker", "-blpop")
	if got := c.Do("BLPOP", keys[0], keys[1], "0"); !strings.HasPrefix(got, "-NOPERM ") {
		t.Errorf("without the right to BLPOP: %q", got)
	}
}

// A request may name many keys, which are inspected in portions, but not any number of them.
func TestRequestsWaitForManyKeys(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, _ := serveShards(t, 2)
	const bound = 16384
	keys := make([]string, bound)
	for i := range keys {
		keys[i] = fmt.Sprint("many:", i)
	}
	c, pusher := p.dial(), p.dial()
	for _, key := range []string{keys[0], keys[bound/2], keys[bound-1]} {
		c.Send(encode(append(append([]string{"BLPOP"}, keys...), "0")...))
		p.awaitWaiting(1)
		pusher.Do("RPUSH", key, "v")
		c.expect("*2\r\n" + bulk(key) + bulk("v"))
	}
	if got := c.Do(append(append([]string{"BLPOP"}, keys...), "one more", "0")...); got != "-ERR too many keys: a request that blocks on keys of several shards may name 16384\r\n" {
		t.Errorf("%.100q", got)
	}
	c.Send(encode(append(append([]string{"BLPOP"}, keys...), "0")...))
	c.Close()
	eventually(t, "nothing waits", func() bool { return p.server.Workers()[0].WaitedKeys() == 0 })
}

// A request that comes costs its own keys, however many other requests wait for them.
func TestWaitingCostsWhatARequestNames(t *testing.T) {
	redistest.SkipShort(t)
	p, _ := serveShards(t, 2)
	args := []string{"BLPOP"}
	for i := range 500 {
		args = append(args, fmt.Sprint("cost:", i))
	}
	request := encode(append(args, "0")...)
	took := func(clients, before int) time.Duration {
		began := processorTime(t)
		for range clients {
			p.dial().Send(request)
		}
		p.awaitWaiting(before + clients)
		return processorTime(t) - began
	}
	first := max(took(20, 0), 10*time.Millisecond)
	took(160, 20)
	if later := took(20, 180); later > 4*first {
		t.Errorf("20 requests took %v when nothing waited, %v beside 180 others", first, later)
	}
}

// SWAPDB through the proxy wakes requests, although servers do not report what it changes.
func TestSwappedDatabasesWakeWhoWaits(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].AllowCommands, cfg.Pools[0].Databases = []string{"swapdb"}, 2
	p := serve(t, cfg)
	keys := keysOnEach(t, p, servers)
	c, other := p.dial(), p.dial()
	other.Do("SELECT", "1")
	other.Do("RPUSH", keys[1], "v")
	c.Send(encode("BLPOP", keys[0], keys[1], "5"))
	p.awaitWaiting(1)
	other.Do("SWAPDB", "0", "1")
	c.expect("*2\r\n" + bulk(keys[1]) + bulk("v"))
}

// A key whose slot is being moved is watched where its elements are, and popped there.
func TestRequestsWaitWhileASlotIsMoved(t *testing.T) {
	t.Parallel()
	var to atomic.Pointer[fakeredis.Server]
	pushed := make(chan struct{})
	handle := func(moved bool) func(c *fakeredis.Conn, args []string) {
		return func(c *fakeredis.Conn, args []string) {
			switch {
			case !moved && len(args) > 1 && args[1] == "a":
				c.Reply("-ASK 15495 " + to.Load().Addr() + "\r\n")
			case args[0] == "LLEN" && args[1] == "a":
				select {
				case <-pushed:
					c.Reply(":1\r\n")
				default:
					c.Reply(":0\r\n")
					go func() {
						<-pushed
						c.Reply(">2\r\n" + bulk("invalidate") + "*1\r\n" + bulk("a"))
					}()
				}
			case args[0] == "LLEN":
				c.Reply(":0\r\n")
			case args[0] == "LPOP":
				c.Reply(bulk("v"))
			default:
				c.Reply("+OK\r\n")
			}
		}
	}
	from := fakeredis.StartHandler(t, handle(false))
	to.Store(fakeredis.StartHandler(t, handle(true)))
	cfg := config(t, from.Addr())
	cfg.Pools[0].Topology, cfg.Pools[0].ReplyCheck, cfg.Pools[0].FailoverWait = conf.Cluster, 0, 5*time.Second
	p := serve(t, cfg)
	p.server.Pools()[0].SetCluster([]pool.ClusterShard{
		{ID: "a", View: pool.View{Primary: pool.Member{Addr: from.Addr()}}, Slots: []pool.SlotRange{{First: 0, Last: 16383}}},
		{ID: "b", View: pool.View{Primary: pool.Member{Addr: to.Load().Addr()}}},
	})
	c := p.dial()
	c.Send(encode("BLPOP", "a", "b", "10"))
	p.awaitWaiting(1)
	close(pushed)
	c.expect("*2\r\n" + bulk("a") + bulk("v"))
}
