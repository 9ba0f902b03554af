package session_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

// merging returns config's configuration with merge_sets on.
func merging(t *testing.T, servers ...string) *conf.Config {
	t.Helper()
	cfg := config(t, servers...)
	cfg.Pools[0].MergeSets = true
	return cfg
}

// sets are SETs of so many keys, each with a value of its own.
func sets(n int, value string) (requests string) {
	for i := range n {
		requests += encode("SET", fmt.Sprint("k", i), value+fmt.Sprint(i))
	}
	return requests
}

// calls is how often a server has executed a command.
func calls(s *redistest.Server, command string) (n int) {
	_, after, _ := strings.Cut(s.Do("INFO", "commandstats"), "cmdstat_"+command+":calls=")
	fmt.Sscanf(after, "%d", &n)
	return n
}

func TestConsecutiveSetsReachAServerAsOneRequest(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := serve(t, merging(t, s.Addr())).dial()
	for round := range 3 {
		c.Send(sets(10, fmt.Sprint(round, ":")))
		for range 10 {
			c.expect("+OK\r\n")
		}
		if got, want := c.Do("GET", "k9"), fmt.Sprintf("$3\r\n%d:9\r\n", round); got != want {
			t.Errorf("GET: %q, want %q", got, want)
		}
	}
	if msets, sets := calls(s, "mset"), calls(s, "set"); msets == 0 || msets+sets > 15 {
		t.Errorf("30 SETs reached the server as %d MSETs and %d SETs", msets, sets)
	}
	// Other forms of SET are sent as they are.
	before := calls(s, "set")
	c.Send(encode("SET", "a", "1", "EX", "100") + encode("SET", "b", "1", "NX") + encode("SET", "a", "2", "KEEPTTL") + encode("SET", "c", "1", "GET"))
	c.expect("+OK\r\n", "+OK\r\n", "+OK\r\n", "$-1\r\n")
	if n := calls(s, "set") - before; n != 4 {
		t.Errorf("4 SETs with options reached the server as %d", n)
	}
}

func TestMergedSetsKeepTheirPlaceAmongOtherRequests(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := serve(t, merging(t, s.Addr())).dial()
	c.Send(sets(2, "")) // which shows that the server takes MSET
	c.expect("+OK\r\n", "+OK\r\n")
	for range 3 {
		c.Send(encode("SET", "a", "1") + encode("SET", "b", "1") + encode("GET", "a") + encode("SET", "a", "2") + encode("SET", "a", "3") +
			encode("INCR", "a") + encode("set", "b", "2") + encode("SET", "a", "5") + encode("GET", "a") + encode("GET", "b") + encode("SET", "a"))
		c.expect("+OK\r\n", "+OK\r\n", "$1\r\n1\r\n", "+OK\r\n", "+OK\r\n", ":4\r\n", "+OK\r\n", "+OK\r\n", "$1\r\n5\r\n", "$1\r\n2\r\n",
			"-ERR wrong number of arguments for 'set' command\r\n")
	}
	if n := calls(s, "mset"); n < 4 {
		t.Errorf("%d MSETs", n)
	}
}

// A subscriber of keyspace events gets one for each key, as for SETs.
func TestMergedSetsHaveTheEventsOfSets(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Do("CONFIG", "SET", "notify-keyspace-events", "KA")
	c := serve(t, merging(t, s.Addr())).dial()
	c.Send(sets(4, "")) // which shows that the server takes MSET
	c.expect("+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n")
	listener := redistest.Dial(t, "tcp", s.Addr())
	listener.Do("PSUBSCRIBE", "__keyspace@0__:*")
	c.Send(sets(4, ""))
	c.expect("+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n")
	for i := range 4 {
		if got := listener.Reply(); !strings.HasSuffix(got, fmt.Sprintf("__keyspace@0__:k%d\r\n$3\r\nset\r\n", i)) {
			t.Errorf("heard %q", got)
		}
	}
}

// A server that takes SET and no MSET, or not for all keys, gets SETs, from the
// first on, and nothing of their client overtakes them.
func TestServersThatRefuseMSETGetSETs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, third string
		rules       []string
	}{
		{"no MSET", "+OK\r\n", []string{"-mset"}},
		{"only some keys", "-NOPERM ", []string{"resetkeys", "~k*"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := redistest.Start(t)
			s.Do(append([]string{"ACL", "SETUSER", "default"}, tt.rules...)...)
			c := serve(t, merging(t, s.Addr())).dial()
			for range 3 {
				c.Send(encode("SET", "k1", "1") + encode("SET", "k2", "1") + encode("SET", "other", "1") + encode("SET", "k1", "2") + encode("SET", "k2", "2"))
				c.Send(encode("GET", "k1") + encode("INCR", "k2"))
				c.expect("+OK\r\n", "+OK\r\n")
				if got := c.Reply(); !strings.HasPrefix(got, tt.third) {
					t.Errorf("SET of a third key: %q, want %q", got, tt.third)
				}
				c.expect("+OK\r\n", "+OK\r\n", "$1\r\n2\r\n", ":3\r\n")
			}
		})
	}
}

func TestNothingOvertakesSetsThatAreSentAgain(t *testing.T) {
	t.Parallel()
	refuse := make(chan struct{})
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if args[0] == "MSET" {
			<-refuse
			c.Reply("-NOPERM this user has no permissions to run the 'mset' command\r\n")
			return
		}
		c.Reply("+OK\r\n")
	})
	cfg := merging(t, s.Addr())
	cfg.Pools[0].ReplyCheck = 0 // what the server was sent is compared
	c := serve(t, cfg).dial()
	c.Send(sets(2, "a"))
	s.WaitRequests(1)
	c.Send(encode("DEL", "k0") + sets(2, "b"))
	c.expectSilence()
	close(refuse)
	c.expect("+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n")
	var got []string
	for _, r := range s.Requests() {
		got = append(got, strings.Join(r.Args, " "))
	}
	want := []string{"MSET k0 a0 k1 a1", "SET k0 a0", "SET k1 a1", "DEL k0", "SET k0 b0", "SET k1 b1"}
	if !slices.Equal(got, want) {
		t.Errorf("the server was sent %q, want %q", got, want)
	}
}

// A user that loses the right to MSET later gets errors for what was under way; then SETs
// are sent one by one.
func TestMSETThatIsForbiddenLaterIsNoLongerSent(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := serve(t, merging(t, s.Addr())).dial()
	c.Send(sets(2, ""))
	c.expect("+OK\r\n", "+OK\r\n")
	s.Do("ACL", "SETUSER", "default", "-mset")
	c.Send(sets(2, ""))
	for range 2 {
		if got := c.Reply(); !strings.HasPrefix(got, "-NOPERM ") {
			t.Errorf("%q, want that it is forbidden", got)
		}
	}
	c.Send(sets(2, ""))
	c.expect("+OK\r\n", "+OK\r\n")
}

func TestMergedSetsGetTheirServersErrors(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := serve(t, merging(t, s.Addr())).dial()
	c.Send(sets(2, ""))
	c.expect("+OK\r\n", "+OK\r\n")
	s.Do("CONFIG", "SET", "maxmemory", "1")
	c.Send(sets(3, ""))
	for range 3 {
		c.expect("-OOM command not allowed when used memory > 'maxmemory'.\r\n")
	}
	s.Do("CONFIG", "SET", "maxmemory", "0")
	c.Send(sets(2, ""))
	c.expect("+OK\r\n", "+OK\r\n")
	s.Kill()
	redistest.Eventually(t, 30*time.Second, "the loss is noticed", func() bool { return strings.HasPrefix(c.Do("GET", "k0"), "-ERR Connection refused") })
	c.Send(sets(3, "") + encode("HELLO", "7"))
	for range 3 {
		if got := c.Reply(); !strings.HasSuffix(got, ": the request was not sent\r\n") {
			t.Errorf("at a server that is away: %q", got)
		}
	}
	c.expect("-NOPROTO unsupported protocol version\r\n")
	s.Restart()
	redistest.Eventually(t, 30*time.Second, "it is back", func() bool { return c.Do("SET", "k0", "") == "+OK\r\n" })
	c.Send(sets(3, ""))
	c.expect("+OK\r\n", "+OK\r\n", "+OK\r\n")
}

// startMSETServer starts a fake server that answers SET and MSET. At the MSET with the number
// turn it calls then instead.
func startMSETServer(t *testing.T, turn int, then func(c *fakeredis.Conn)) *fakeredis.Server {
	var msets atomic.Int32 // over all connections
	return fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if args[0] == "MSET" {
			if int(msets.Add(1)) == turn {
				then(c)
				return
			}
		}
		c.Reply("+OK\r\n")
	})
}

func TestMergedSetsThatAreLostFailEach(t *testing.T) {
	t.Parallel()
	for turn := 1; turn <= 2; turn++ { // the first of all, and another
		s := startMSETServer(t, turn, (*fakeredis.Conn).Close)
		cfg := merging(t, s.Addr())
		cfg.Pools[0].ReplyCheck = time.Hour // the server has no ECHO
		c := serve(t, cfg).dial()
		for round := 1; round <= 3; round++ {
			c.Send(sets(3, ""))
			for range 3 {
				want := "+OK\r\n"
				if round == turn {
					want = "-ERR Connection closed by the server (server s1): the request was sent and its outcome is unknown\r\n"
				}
				c.expect(want)
			}
		}
		if n := len(requestsNamed(s, "MSET")); n != 3 {
			t.Errorf("3 times SETs reached the server as %d MSETs", n)
		}
	}
}

// requestsNamed returns the requests of that name that a server was sent.
func requestsNamed(s *fakeredis.Server, name string) (requests []fakeredis.Request) {
	for _, r := range s.Requests() {
		if r.Args[0] == name {
			requests = append(requests, r)
		}
	}
	return requests
}

func TestLargeSetsAreNotMerged(t *testing.T) {
	t.Parallel()
	s := startMSETServer(t, 0, nil)
	cfg := merging(t, s.Addr())
	cfg.Pools[0].ReplyCheck = time.Hour // the server has no ECHO
	c := serve(t, cfg).dial()
	for _, value := range []string{"", strings.Repeat("v", 3<<10)} {
		const n = 20
		c.Send(sets(n, value))
		for range n {
			c.expect("+OK\r\n")
		}
	}
	msets := requestsNamed(s, "MSET")
	if len(msets) < 4 {
		t.Errorf("%d MSETs", len(msets))
	}
	for _, r := range msets {
		size := 0
		for _, arg := range r.Args {
			size += len(arg)
		}
		if size > 16<<10 {
			t.Errorf("%s of %d bytes", r.Args[0], size)
		}
	}
}

// A drop-in batches bytes and does not change commands, unless it is told to.
func TestSetsAreSentAsTheyAreUnlessThePoolSaysOtherwise(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := serve(t, config(t, s.Addr())).dial()
	c.Send(sets(10, "") + sets(10, ""))
	for range 20 {
		c.expect("+OK\r\n")
	}
	if n := calls(s, "set"); n != 20 {
		t.Errorf("20 SETs reached the server as %d", n)
	}
	// The default user may set some keys only: nobody else's SET is refused with one that is.
	s.Do("ACL", "SETUSER", "default", "resetkeys", "~k*")
	for range 3 {
		c.Send(encode("SET", "k1", "1") + encode("SET", "other", "1") + encode("SET", "k2", "1"))
		c.expect("+OK\r\n")
		if got := c.Reply(); !strings.HasPrefix(got, "-NOPERM ") {
			t.Errorf("SET of a key that is not allowed: %q", got)
		}
		c.expect("+OK\r\n")
	}
}

// A server that was given up before it was sent anything: its SETs go to whoever
// owns their keys now.
func TestMergedSetsThatWereNotSentGoToTheNextOwner(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := merging(t, s.Addr(), "127.0.0.1:1")
	cfg.Pools[0].AutoEjectHosts, cfg.Pools[0].ServerFailureLimit = true, 1
	p := serve(t, cfg)
	key := keyOf(p.server.Pools()[0].Map().Ring(), 1)
	c := p.dial()
	c.Send(encode("SET", key, "1") + encode("SET", key, "two"))
	c.expect("+OK\r\n", "+OK\r\n")
	if got := c.Do("GET", key); got != "$3\r\ntwo\r\n" {
		t.Errorf("GET: %q", got)
	}
}

// Where the pool is an ACL user at its servers, only the attempt shows which keys it may set.
func TestSetsOfAnACLUserAreNotMerged(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "other", "on", ">secret", "~k*", "+@all")
	cfg := merging(t, s.Addr())
	cfg.Pools[0].RedisUser, cfg.Pools[0].RedisAuth = "other", "secret"
	c := serve(t, cfg).dial()
	c.Do("AUTH", "secret")
	c.Send(sets(2, "") + sets(2, ""))
	c.expect("+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n")
	c.Send(encode("SET", "k0", "") + encode("SET", "other", "") + encode("SET", "k1", ""))
	c.expect("+OK\r\n")
	if got := c.Reply(); !strings.HasPrefix(got, "-NOPERM ") {
		t.Errorf("SET of a key that is not allowed: %q", got)
	}
	c.expect("+OK\r\n")
}

func TestMergedSetsThatTimeOutFailEach(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	s := redistest.Start(t)
	cfg := merging(t, s.Addr())
	cfg.Proxy.Threads = 1
	cfg.Pools[0].Timeout = 300 * time.Millisecond
	c := serve(t, cfg).dial()
	c.Send(sets(2, ""))
	c.expect("+OK\r\n", "+OK\r\n")
	s.Stop()
	c.Send(sets(2, "") + sets(3, strings.Repeat("v", 5<<10)))
	for range 5 {
		if got := c.Reply(); !strings.HasPrefix(got, "-ERR Connection timed out") {
			t.Errorf("at a server that hangs: %q", got)
		}
	}
	s.Cont()
	redistest.Eventually(t, 30*time.Second, "it answers again", func() bool { return c.Do("GET", "k0") == "$1\r\n0\r\n" || c.Do("EXISTS", "k0") == ":1\r\n" })
	c.Send(sets(3, "again"))
	c.expect("+OK\r\n", "+OK\r\n", "+OK\r\n")
	if got := c.Do("GET", "k2"); got != "$6\r\nagain2\r\n" {
		t.Error(got)
	}
}
