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

// everything allows the guarded commands that broadcasts need.
var everything = []string{"keys", "flushall", "flushdb", "config", "slowlog", "latency", "debug", "save", "bgsave"}

// serveAllowing is serveShards for a pool that allows the guarded commands in everything; adjust
// may change it further.
func serveAllowing(t *testing.T, n int, adjust func(*conf.Pool)) (*proxy, []*redistest.Server) {
	t.Helper()
	servers := redistest.StartN(t, n)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].AllowCommands = everything
	if adjust != nil {
		adjust(&cfg.Pools[0])
	}
	return serve(t, cfg), servers
}

// ejectOne runs a pool that ejects at the first failure if eject, kills the server with index bad
// in the configuration, and waits until the pool knows that it is down.
func ejectOne(t *testing.T, n, bad int, eject bool) (p *proxy, order []*redistest.Server) {
	t.Helper()
	var pool *conf.Pool
	p, servers := serveAllowing(t, n, func(c *conf.Pool) {
		c.AutoEjectHosts, c.ServerFailureLimit, c.ServerRetryTimeout = eject, 1, time.Hour
		pool = c
	})
	for i := range pool.Servers {
		at := slices.IndexFunc(servers, func(s *redistest.Server) bool { return s.Addr() == pool.Servers[i].Addr })
		order = append(order, servers[at])
	}
	order[bad].Kill()
	c := p.dial()
	defer c.Close()
	eventually(t, "the pool knows that a server is down", func() bool {
		c.Do("DBSIZE")
		return p.server.Pools()[0].CountDown() == 1
	})
	return p, order
}

func fill(t *testing.T, c *raw, n int) {
	t.Helper()
	for i := range n {
		c.Send(encode("SET", fmt.Sprintf("%d:key", i*7919), "v"))
	}
	for range n {
		c.expect("+OK\r\n")
	}
}

func TestWholeKeyspaceIsSeenAsByOneRedis(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 4} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			p, _ := serveAllowing(t, shards, nil)
			c := p.dial()
			plain := &raw{redistest.Dial(t, "tcp", redistest.Start(t).Addr()), t}
			same := func(args ...string) {
				t.Helper()
				got, want := c.Do(args...), plain.Do(args...)
				if args[0] == "KEYS" {
					got, want = sortedLines(got), sortedLines(want)
				}
				if got != want {
					t.Errorf("%q: %.200q, Redis %.200q", args, got, want)
				}
			}
			same("DBSIZE")
			same("RANDOMKEY")
			same("KEYS", "*")
			fill(t, c, 1000)
			fill(t, plain, 1000)
			same("DBSIZE")
			same("KEYS", "*")
			same("KEYS", "7919*")
			same("KEYS", "nothing")
			same("FLUSHDB", "WHAT")
			same("FLUSHALL")
			same("DBSIZE")
			same("MEMORY", "PURGE")
			same("CONFIG", "GET", "hz")
			same("CONFIG", "SET", "hz", "15")
			same("CONFIG", "SET", "nothing", "15")
			same("CONFIG", "GET", "hz")
			same("SLOWLOG", "RESET")
			same("SLOWLOG", "LEN")
			same("LATENCY", "RESET")
			same("PING")
		})
	}
}

func TestLargeRepliesOfAllServersAreConcatenated(t *testing.T) {
	t.Parallel()
	p, _ := serveAllowing(t, 4, nil)
	c := p.dial()
	fill(t, c, 20000)
	c.Send(encode("KEYS", "*") + encode("PING") + encode("KEYS", "nothing"))
	if got := strings.Count(c.Reply(), ":key\r\n"); got != 20000 {
		t.Errorf("%d keys", got)
	}
	c.expect("+PONG\r\n", "*0\r\n")
	c.Send(encode("ECHO", "x") + encode("GET", "0:key") + encode("KEYS", "*") + encode("GET", "0:key"))
	c.expect("$1\r\nx\r\n", "$1\r\nv\r\n")
	if got := strings.Count(c.Reply(), ":key\r\n"); got != 20000 {
		t.Errorf("%d keys", got)
	}
	c.expect("$1\r\nv\r\n")
}

func TestRandomKeyIsOneOfAnyServer(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 4)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	c.Do("SET", keys[2], "x")
	if got := c.Do("RANDOMKEY"); got != fmt.Sprintf("$%d\r\n%s\r\n", len(keys[2]), keys[2]) {
		t.Errorf("the only key is %s, RANDOMKEY says %q", keys[2], got)
	}
}

func TestEjectedServersKeysAreNotCounted(t *testing.T) {
	t.Parallel()
	p, order := ejectOne(t, 3, 1, true)
	c := p.dial()
	fill(t, c, 300)
	if got := c.Do("DBSIZE"); got != ":300\r\n" {
		t.Errorf("DBSIZE %q", got)
	}
	if got := strings.Count(c.Do("KEYS", "*"), ":key\r\n"); got != 300 {
		t.Errorf("%d keys", got)
	}
	if n := order[0].Client().DBSize(t.Context()).Val() + order[2].Client().DBSize(t.Context()).Val(); n != 300 {
		t.Errorf("%d keys on the servers that are left", n)
	}
	const want = "-ERR 2 of 3 servers executed the request; the first that did not: Connection refused: server s2 is down (for "
	if got := c.Do("FLUSHALL"); !strings.HasPrefix(got, want) {
		t.Errorf("FLUSHALL: %q", got)
	}
	if got := c.Do("DBSIZE"); got != ":0\r\n" {
		t.Errorf("DBSIZE %q", got)
	}
}

func TestServerThatIsDownIsNoPartialAnswer(t *testing.T) {
	t.Parallel()
	p, _ := ejectOne(t, 3, 1, false)
	c := p.dial()
	for _, args := range [][]string{{"DBSIZE"}, {"KEYS", "*"}, {"RANDOMKEY"}, {"SCRIPT", "EXISTS", "a"}} {
		if got := c.Do(args...); !strings.HasPrefix(got, "-ERR Connection refused") {
			t.Errorf("%q: %q", args, got)
		}
	}
}

func TestScriptsAndFunctionsAreOnEveryServer(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 4)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	const body = "return KEYS[1]"
	sha := strings.Split(c.Do("SCRIPT", "LOAD", body), "\r\n")[1]
	for _, key := range keys {
		if got := c.Do("EVALSHA", sha, "1", key); got != fmt.Sprintf("$%d\r\n%s\r\n", len(key), key) {
			t.Errorf("EVALSHA: %q", got)
		}
	}
	if got := c.Do("SCRIPT", "EXISTS", sha, "x"); got != "*2\r\n:1\r\n:0\r\n" {
		t.Errorf("SCRIPT EXISTS: %q", got)
	}
	servers[1].Do("SCRIPT", "FLUSH")
	if got := c.Do("SCRIPT", "EXISTS", sha); got != "*1\r\n:0\r\n" {
		t.Errorf("SCRIPT EXISTS without one: %q", got)
	}
	const library = "#!lua name=lib\nredis.register_function('mine', function(keys) return keys[1] end)"
	for _, test := range []struct {
		want    string
		request []string
	}{
		{"+OK\r\n", []string{"SCRIPT", "FLUSH"}},
		{"-NOTBUSY No scripts in execution right now.\r\n", []string{"SCRIPT", "KILL"}},
		{"-NOTBUSY No scripts in execution right now.\r\n", []string{"FUNCTION", "KILL"}},
		{"$3\r\nlib\r\n", []string{"FUNCTION", "LOAD", library}},
		{"-ERR Library 'lib' already exists\r\n", []string{"FUNCTION", "LOAD", library}},
		{"$1\r\nk\r\n", []string{"FCALL", "mine", "1", "k"}},
		{"+OK\r\n", []string{"FUNCTION", "DELETE", "lib"}},
		{"-ERR Library not found\r\n", []string{"FUNCTION", "DELETE", "lib"}},
		{"*0\r\n", []string{"FUNCTION", "LIST"}},
		{"+OK\r\n", []string{"FUNCTION", "FLUSH"}},
	} {
		if got := c.Do(test.request...); got != test.want {
			t.Errorf("%q: %q, want %q", test.request, got, test.want)
		}
	}
}

func TestRunningScriptIsKilled(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 2} {
		p, servers := serveShards(t, shards)
		for _, s := range servers {
			s.Do("CONFIG", "SET", "busy-reply-threshold", "20")
		}
		busy, c := p.dial(), p.dial()
		busy.Send(encode("EVAL", "while true do end", "1", "k"))
		eventually(t, "the script is killed", func() bool { return c.Do("SCRIPT", "KILL") == "+OK\r\n" })
		if got := busy.Reply(); !strings.Contains(got, "Script killed by user") {
			t.Errorf("EVAL: %q", got)
		}
		if got := c.Do("SET", "k", "v"); got != "+OK\r\n" {
			t.Error(got)
		}
	}
}

func TestRequestsWithoutKeysGoToTheDefaultServer(t *testing.T) {
	t.Parallel()
	p, servers := serveAllowing(t, 4, func(c *conf.Pool) { c.DefaultServer = c.Servers[2].Name })
	cfg := p.server.Pools()[0].Conf()
	for _, s := range servers {
		s.Do("CONFIG", "SET", "maxmemory-samples", fmt.Sprint(s.Port()))
	}
	_, port, _ := strings.Cut(cfg.Servers[2].Addr, ":")
	if got := p.dial().Do("CONFIG", "GET", "maxmemory-samples"); !strings.Contains(got, "\r\n"+port+"\r\n") {
		t.Errorf("%q, want port %s", got, port)
	}
	if got := p.dial().Do("EVAL", "return redis.call('CONFIG', 'GET', 'maxmemory-samples')", "0"); !strings.HasPrefix(got, "-") {
		t.Errorf("a script may run CONFIG: %q", got)
	}
	if got := p.dial().Do("EVAL", "return ARGV[1]", "0", "x"); got != "$1\r\nx\r\n" {
		t.Errorf("EVAL without keys: %q", got)
	}
}

func TestEjectedDefaultServerIsReplacedByAnother(t *testing.T) {
	t.Parallel()
	p, _ := ejectOne(t, 3, 0, true)
	if got := p.dial().Do("EVAL", "return 1", "0"); got != ":1\r\n" {
		t.Error(got)
	}
}

func TestTransactionsRefuseRequestsForAllServers(t *testing.T) {
	t.Parallel()
	p, _ := serveAllowing(t, 2, nil)
	c := p.dial()
	for _, args := range [][]string{{"DBSIZE"}, {"FLUSHALL"}, {"SCAN", "0"}, {"SCRIPT", "LOAD", "return 1"}, {"FUNCTION", "LIST"}} {
		c.Send(encode("MULTI") + encode(args...) + encode("EXEC"))
		c.expect("+OK\r\n", "+QUEUED\r\n")
		if reply := c.Reply(); !strings.HasPrefix(reply, "-EXECABORT Transaction discarded because of: ERR '") || !strings.HasSuffix(reply, "is not about one shard, and a transaction is executed by one: send it outside of MULTI\r\n") {
			t.Errorf("%v: %q", args, reply)
		}
	}
	one, _ := serveAllowing(t, 1, nil)
	c = one.dial()
	c.Send(encode("MULTI") + encode("SET", "a", "1") + encode("DBSIZE") + encode("FLUSHALL") + encode("DBSIZE") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*4\r\n+OK\r\n:1\r\n+OK\r\n:0\r\n")
}

// A shard with few keys is not chosen as often as one with many.
func TestRandomKeyKnowsHowManyKeysShardsHave(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	servers[0].Do("SET", "only", "1")
	for i := range 99 {
		servers[1].Do("SET", fmt.Sprint("one of many ", i), "1")
	}
	c := p.dial()
	chosen := 0
	for range 300 {
		if c.Do("RANDOMKEY") == "$4\r\nonly\r\n" {
			chosen++
		}
	}
	if chosen > 30 {
		t.Errorf("the only key of a shard was chosen %d times of 300", chosen)
	}
}

func TestSlowlogIsThatOfAllShards(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].AllowCommands = []string{"slowlog"}
	p := serve(t, cfg)
	for _, s := range servers {
		s.Do("CONFIG", "SET", "slowlog-log-slower-than", "0")
	}
	c := p.dial()
	c.Do("DBSIZE")
	got := c.Do("SLOWLOG", "GET", "-1")
	if n := strings.Count(got, "DBSIZE"); n != 3 {
		t.Errorf("%d entries of DBSIZE: %q", n, got)
	}
	if got := c.Do("SLOWLOG", "GET", "2"); !strings.HasPrefix(got, "*2\r\n") {
		t.Errorf("%.200q", got)
	}
	if got := c.Do("SLOWLOG", "GET", "-2"); got != "-ERR count should be greater than or equal to -1\r\n" {
		t.Errorf("%.200q", got)
	}
}
