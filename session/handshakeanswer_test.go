package session_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

const (
	noHello    = "-ERR unknown command 'HELLO', with args beginning with: '3' \r\n"
	noDatabase = "-ERR DB index is out of range\r\n"
)

// withoutHello is a server as before Redis 6.
func withoutHello(t *testing.T, n int, opts ...redistest.Option) []*redistest.Server {
	return redistest.StartN(t, n, append(opts, redistest.Args("--rename-command", "HELLO", ""))...)
}

func TestHello3IsRefusedInTheServersWords(t *testing.T) {
	t.Parallel()
	for _, eject := range []bool{false, true} {
		t.Run(fmt.Sprint("eject ", eject), func(t *testing.T) {
			servers := withoutHello(t, 2)
			cfg := config(t, addrs(servers)...)
			cfg.Proxy.Threads = 1
			cfg.Pools[0].AutoEjectHosts = eject
			p := serve(t, cfg)
			c, other := p.dial(), p.dial()
			c.Send(encode("SET", "a", "1") + encode("HELLO", "3") + encode("GET", "a") + encode("GET", "none") + encode("HELLO", "3", "SETNAME", "x") + encode("CLIENT", "GETNAME") +
				encode("BLPOP", "q", "0.01") + encode("WATCH", "a") + encode("HELLO", "3") + encode("MULTI") + encode("GET", "a") + encode("EXEC"))
			c.expect("+OK\r\n", noHello, "$1\r\n1\r\n", "$-1\r\n", noHello, "$-1\r\n", "*-1\r\n", "+OK\r\n", noHello, "+OK\r\n", "+QUEUED\r\n", "*1\r\n$1\r\n1\r\n")
			if got := c.Do("HELLO", "2"); !strings.Contains(got, "$5\r\nproto\r\n:2\r\n") {
				t.Errorf("HELLO 2: %q", got)
			}
			// The refusal is remembered, and makes no connections.
			before := connectionsTo(t, servers[0])
			for i := range 50 {
				if got := p.dial().Do("HELLO", "3"); got != noHello {
					t.Errorf("HELLO 3: %q", got)
				}
				for _, key := range []string{"a", "b", "c", "d"} {
					if got := other.Do("SET", key, fmt.Sprint(i)); got != "+OK\r\n" {
						t.Fatalf("another client: %q", got)
					}
				}
			}
			if after := connectionsTo(t, servers[0]); after-before > 6 {
				t.Errorf("%d connections to a server for 50 clients", after-before)
			}
		})
	}
}

// connectionsTo is how many connections a server has ever accepted.
func connectionsTo(t *testing.T, s *redistest.Server) (n int) {
	t.Helper()
	_, rest, _ := strings.Cut(s.Do("INFO", "stats"), "total_connections_received:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestHelloThatFailsLogsNobodyIn(t *testing.T) {
	t.Parallel()
	s := withoutHello(t, 1, redistest.Password("sesame"))[0]
	s.Do("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all")
	cfg := config(t, s.Addr())
	cfg.Pools[0].RedisAuth, cfg.Pools[0].ACLUsers = "sesame", 2
	p := serve(t, cfg)
	c := p.dial()
	c.Send(encode("HELLO", "3", "AUTH", "default", "sesame") + encode("GET", "a") + encode("HELLO", "3", "AUTH", "bob", "pw", "SETNAME", "b") + encode("GET", "a") +
		encode("AUTH", "bob", "pw") + encode("HELLO", "3") + encode("ACL", "WHOAMI") + encode("CLIENT", "GETNAME") + encode("AUTH", "sesame") +
		encode("HELLO", "3", "AUTH", "bob", "pw") + encode("ACL", "WHOAMI"))
	noAuth := "-NOAUTH Authentication required.\r\n"
	c.expect(noHello, noAuth, noHello, noAuth, "+OK\r\n", noHello, "$3\r\nbob\r\n", "$-1\r\n", "+OK\r\n", noHello, "$7\r\ndefault\r\n")
	if got := p.dial().Do("CLIENT", "LIST"); strings.Contains(got, "user=bob") {
		t.Errorf("somebody is bob: %s", got)
	}
}

// The proxy speaks RESP3 and selects databases for an ACL user whose rules lack HELLO and SELECT.
func TestACLUsersSpeakRESP3(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-hello", "-select", "+select|3")
	cfg := config(t, s.Addr())
	cfg.Pools[0].ACLUsers, cfg.Pools[0].Databases = 2, 16
	c := serve(t, cfg).dial()
	c.Send(encode("SELECT", "3") + encode("HELLO", "3", "AUTH", "bob", "pw"))
	c.expect("+OK\r\n")
	if got := c.Reply(); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("HELLO 3: %q", got)
	}
	c.Send(encode("GET", "none") + encode("BLPOP", "q", "0.01") + encode("SELECT", "4") + encode("GET", "none"))
	c.expect("_\r\n", "_\r\n", "-NOPERM this user has no permissions to run the 'select' command\r\n", "_\r\n")
}

// oldServer is a fake server that refuses HELLO with an error, or accepts it, and counts
// handshakes.
type oldServer struct {
	*fakeredis.Server
	refusal atomic.Pointer[string]
}

func startOldServer(t *testing.T, refusal string) *oldServer {
	s := &oldServer{}
	s.refusal.Store(&refusal)
	s.Server = fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		switch no := *s.refusal.Load(); {
		case args[0] == "QUIT":
			c.Close()
		case args[0] == "GET":
			c.Reply("$1\r\n1\r\n")
		case args[0] == "HELLO" && no != "":
			c.Reply(no)
		case args[0] == "HELLO":
			c.Reply("%1\r\n+proto\r\n:3\r\n")
		default:
			c.Reply("+OK\r\n")
		}
	})
	return s
}

func TestARefusalOfHelloExpires(t *testing.T) {
	t.Parallel()
	const noProto = "-NOPROTO unsupported protocol version\r\n"
	s, good := startOldServer(t, noProto), startOldServer(t, "")
	cfg := config(t, s.Addr(), good.Addr())
	cfg.Proxy.Threads = 1
	p := serve(t, cfg)
	c := p.dial()
	for range 20 {
		c.Send(encode("HELLO", "3") + encode("GET", "a") + encode("GET", "b"))
		c.expect(noProto, "$1\r\n1\r\n", "$1\r\n1\r\n")
	}
	if n := countRequests(s.Server, "HELLO"); n > 2 {
		t.Errorf("the server was asked %d times", n)
	}
	// It is upgraded: it closes its connections.
	upgraded := ""
	s.refusal.Store(&upgraded)
	shared := p.dial()
	for _, key := range []string{"a", "b", "c", "d"} {
		shared.Do("GET", key)
	}
	s.CloseConns()
	redistest.Eventually(t, time.Minute, "RESP3", func() bool { return strings.HasPrefix(c.Do("HELLO", "3"), "%7\r\n") })
	n := countRequests(s.Server, "HELLO")
	for range 20 {
		if got := p.dial().Do("HELLO", "3"); !strings.HasPrefix(got, "%7\r\n") {
			t.Fatalf("HELLO 3: %q", got)
		}
	}
	if again := countRequests(s.Server, "HELLO"); again != n {
		t.Errorf("the server was asked %d times about what is known", again-n)
	}
}

// When a server is replaced by an old one, clients in RESP3 get errors, and no others do.
func TestServerReplacedByOneWithoutHello(t *testing.T) {
	t.Parallel()
	s := startOldServer(t, "")
	cfg := config(t, s.Addr())
	cfg.Proxy.Threads = 1
	cfg.Pools[0].AutoEjectHosts, cfg.Pools[0].ServerFailureLimit = true, 1
	p := serve(t, cfg)
	c, other := p.dial(), p.dial()
	c.Do("HELLO", "3")
	c.Send(encode("GET", "a"))
	c.expect("$1\r\n1\r\n")
	old := noHello
	s.refusal.Store(&old)
	s.CloseConns()
	redistest.Eventually(t, time.Minute, "the refusal is met", func() bool {
		return strings.HasPrefix(c.Do("GET", "a"), "-ERR Server refused the proxy's HELLO")
	})
	for range 20 {
		c.Do("GET", "a")
		other.Send(encode("GET", "a") + encode("HELLO", "3"))
		other.expect("$1\r\n1\r\n", noHello)
	}
	// A newer server makes them work again.
	c.Send(encode("HELLO", "3") + encode("RESET") + encode("GET", "a"))
	c.expect(noHello, "+RESET\r\n", "$1\r\n1\r\n")
}

func TestHelloWhileNoServerAnswers(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := config(t, s.Addr())
	cfg.Proxy.Threads = 1
	cfg.Pools[0].Timeout, cfg.Pools[0].Databases = 100*time.Millisecond, 16
	p := serve(t, cfg)
	c := p.dial()
	s.Stop()
	began := time.Now()
	c.Send(encode("HELLO", "3") + encode("SELECT", "3") + encode("CLIENT", "ID") + encode("HELLO", "2"))
	for _, want := range []string{"-ERR Connection timed out", "-ERR Connection timed out", ":", "*14\r\n"} {
		if got := c.Reply(); !strings.HasPrefix(got, want) {
			t.Errorf("reply %q, want %q", got, want)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("answered after %v", took)
	}
	s.Cont()
	redistest.Eventually(t, time.Minute, "RESP3", func() bool { return strings.HasPrefix(c.Do("HELLO", "3"), "%7\r\n") })
	s.Kill()
	if got := c.Do("HELLO", "3"); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("what is known is forgotten: %q", got)
	}
	if got := c.Do("SELECT", "5"); !strings.HasPrefix(got, "-ERR ") {
		t.Errorf("SELECT of a server that is dead: %q", got)
	}
	s.Restart()
	redistest.Eventually(t, time.Minute, "SELECT", func() bool { return c.Do("SELECT", "5") == "+OK\r\n" })
}

func TestTheServerWithTheFewestDatabasesCounts(t *testing.T) {
	t.Parallel()
	servers := []*redistest.Server{redistest.Start(t), redistest.Start(t, redistest.Args("--databases", "4"))}
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].Databases = 32
	p := serve(t, cfg)
	c, other := p.dial(), p.dial()
	const keys = "abcdefgh"
	onAll := func(c *raw, want string) {
		t.Helper()
		for _, key := range keys {
			c.Send(encode("GET", string(key)))
			c.expect(want)
		}
	}
	c.Send(encode("SELECT", "3") + encode("MSET", "a", "3", "b", "3", "c", "3", "d", "3", "e", "3", "f", "3", "g", "3", "h", "3") + encode("SELECT", "4") + encode("SELECT", "20"))
	c.expect("+OK\r\n", "+OK\r\n", noDatabase, noDatabase)
	onAll(c, "$1\r\n3\r\n")
	onAll(other, "$-1\r\n")
	if got := c.Do("HELLO", "3"); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("HELLO 3: %q", got)
	}
	for _, key := range keys {
		// Either of the two servers may have the fewest.
		c.Send(encode("MULTI") + encode("SELECT", "5") + encode("GET", string(key)) + encode("SELECT", "99") + encode("SELECT", "x") + encode("EXEC") + encode("GET", string(key)))
		c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n",
			"*4\r\n"+noDatabase+"$1\r\n3\r\n"+noDatabase+"-ERR value is not an integer or out of range\r\n", "$1\r\n3\r\n")
		c.Send(encode("MULTI") + encode("SELECT", "2") + encode("SELECT", "5") + encode("SET", string(key), "2") + encode("EXEC") + encode("GET", string(key)) + encode("SELECT", "3"))
		c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*3\r\n+OK\r\n"+noDatabase+"+OK\r\n", "$1\r\n2\r\n", "+OK\r\n")
		c.Send(encode("WATCH", string(key)) + encode("SELECT", "7") + encode("SELECT", "2") + encode("MULTI") + encode("GET", string(key)) + encode("EXEC") + encode("SELECT", "3"))
		c.expect("+OK\r\n", noDatabase, "+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n$1\r\n2\r\n", "+OK\r\n")
	}
}

// A transaction that is not executed selects nothing.
func TestSelectOfAnAbortedTransaction(t *testing.T) {
	t.Parallel()
	p := serveDatabases(t, 1)
	c, other := p.dial(), p.dial()
	for range 2 {
		c.Send(encode("SET", "a", "0") + encode("WATCH", "a"))
		c.expect("+OK\r\n", "+OK\r\n")
		other.Send(encode("SET", "a", "0"))
		other.expect("+OK\r\n")
		c.Send(encode("MULTI") + encode("SELECT", "3") + encode("EXEC") + encode("GET", "a"))
		c.expect("+OK\r\n", "+QUEUED\r\n", "*-1\r\n", "$1\r\n0\r\n")
	}
}

func TestSelectInClusters(t *testing.T) {
	t.Parallel()
	cfg := config(t, "127.0.0.1:1")
	cfg.Pools[0].Topology, cfg.Pools[0].Databases = conf.Cluster, 1
	c := serve(t, cfg).dial()
	c.Send(encode("SELECT", "1") + encode("SELECT", "0"))
	c.expect("-ERR SELECT is not allowed in cluster mode\r\n", "+OK\r\n")
}

// The client is gone, or half-closed, while the servers are asked.
func TestClientsLeaveWhileServersAreAsked(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		switch args[0] {
		case "HELLO":
			<-release
			c.Reply("%1\r\n+proto\r\n:3\r\n")
		case "GET":
			c.Reply("_\r\n")
		default:
			c.Reply("+OK\r\n")
		}
	})
	cfg := config(t, s.Addr())
	cfg.Proxy.Threads = 1
	cfg.Pools[0].ACLUsers, cfg.Pools[0].ConnectTimeout = 1, 30*time.Second
	p := serve(t, cfg)
	gone, half, guest, admin := p.dial(), p.dial(), p.dial(), p.dial()
	gone.Send(encode("HELLO", "3") + encode("GET", "a"))
	half.Send(encode("HELLO", "3") + encode("GET", "a"))
	guest.Send(encode("HELLO", "3", "AUTH", "bob", "pw"))
	redistest.Eventually(t, time.Minute, "both kinds are asked for", func() bool { return countRequests(s, "HELLO") == 2 })
	gone.Close()
	guest.Close()
	redistest.Eventually(t, time.Minute, "two clients are gone", func() bool { return strings.Count(admin.Do("CLIENT", "LIST"), " addr=") == 2 })
	half.closeWrite()
	close(release)
	if got := half.Reply(); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("HELLO 3: %q", got)
	}
	half.expect("_\r\n")
	half.expectClosed()
	if got := p.dial().Do("AUTH", "alice", "pw"); got != "+OK\r\n" { // no client is bob any more
		t.Errorf("AUTH: %q", got)
	}
}

func TestHelloWaitsForAPrimaryLikeARequest(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 0)
	p, pl := serveGroup(t, g, func(c *conf.Pool) { c.Databases = 16 })
	c := p.dial()
	c.Send(encode("SELECT", "3") + encode("SET", "k", "v") + encode("HELLO", "3"))
	c.expectSilence()
	pl.SetView(0, view(g.Primary))
	c.expect("+OK\r\n", "+OK\r\n")
	if got := c.Reply(); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("HELLO 3: %q", got)
	}
	const none = "-ERR no primary is known: the request was not sent\r\n"
	p, _ = serveGroup(t, g, func(c *conf.Pool) { c.Databases, c.FailoverWait = 16, 50*time.Millisecond })
	c = p.dial()
	c.Send(encode("HELLO", "3") + encode("SELECT", "3") + encode("GET", "k"))
	c.expect(none, none, none)
}

// Where primaries change, a server that refuses the database of one client does not count as
// a failed primary, for which other clients would wait.
func TestARefusedDatabaseDelaysNoOtherClient(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 0)
	p, pl := serveGroup(t, g, func(c *conf.Pool) { c.Databases = 16 })
	pl.SetView(0, view(g.Primary))
	c, other := p.dial(), p.dial()
	c.Send(encode("SELECT", "3") + encode("GET", "k"))
	c.expect("+OK\r\n", "$-1\r\n")
	g.Primary.Do("ACL", "SETUSER", "default", "-select")
	g.Primary.Do("CLIENT", "KILL", "TYPE", "normal")
	began := time.Now()
	redistest.Eventually(t, time.Minute, "the refusal is met", func() bool {
		return strings.HasPrefix(c.Do("GET", "k"), "-ERR Server refused the proxy's AUTH or SELECT (shard s1, NOPERM ")
	})
	const noPerm = "-NOPERM this user has no permissions to run the 'select' command\r\n"
	for range 5 {
		c.Send(encode("GET", "k") + encode("BLPOP", "q", "0") + encode("MULTI") + encode("GET", "k") + encode("EXEC"))
		for _, want := range []string{"-ERR Server refused", "-ERR Server refused", "+OK", "+QUEUED", "-ERR Server refused"} {
			if got := c.Reply(); !strings.HasPrefix(got, want) {
				t.Errorf("reply %q, want %q", got, want)
			}
		}
		other.Send(encode("GET", "k") + encode("BLPOP", "q", "0.01") + encode("SELECT", "3") + encode("GET", "k"))
		other.expect("$-1\r\n", "*-1\r\n", noPerm, "$-1\r\n")
	}
	if took := time.Since(began); took > 10*time.Second { // failover_wait is 20 s
		t.Errorf("somebody waited: %v", took)
	}
	c.Send(encode("SELECT", "0") + encode("GET", "k"))
	c.expect("+OK\r\n", "$-1\r\n")
}
