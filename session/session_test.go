package session_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

func TestValuesOfEveryLengthSurviveEveryReadBoundary(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := p.dial()
	lengths := []int{0, 1, 2, 511, 512, 513, 4095, 4096, 16 << 10, 16<<10 + 1, 64<<10 - 7, 64 << 10, 128<<10 - 1, 128 << 10, 128<<10 + 1, 1 << 20, 5<<20 + 3}
	for _, n := range lengths {
		value := strings.Repeat("v", n)
		key := fmt.Sprint("len:", n)
		c.Send(encode("SET", key, value) + encode("GET", key) + encode("STRLEN", key))
		c.expect("+OK\r\n", fmt.Sprintf("$%d\r\n%s\r\n", n, value), fmt.Sprintf(":%d\r\n", n))
	}
	for _, n := range []int{1, 400, 512, 513, 600, 5000, 70000} {
		key := strings.Repeat("k", n)
		c.Send(encode("SET", key, "x") + encode("GET", key) + encode("DEL", key))
		c.expect("+OK\r\n", "$1\r\nx\r\n", ":1\r\n")
	}
}

func TestRequestsInPiecesOfEverySize(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	text := encode("SET", "a", "1") + "GET a\r\n" + encode("MSET", "b", "2", "c", "3", "d", "4") + encode("MGET", "a", "b", "c", "d", "none") + encode("PING")
	want := []string{"+OK\r\n", "$1\r\n1\r\n", "+OK\r\n", "*5\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$-1\r\n", "+PONG\r\n"}
	for size := 1; size < 40; size++ {
		c := p.dial()
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			c.Send(rest[:n])
			rest = rest[n:]
		}
		c.expect(want...)
		c.Close()
	}
}

func TestRepliesLeaveInTheOrderOfTheRequests(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := p.dial()
	const n = 20000
	var sent strings.Builder
	for i := range n {
		switch i % 5 {
		case 0:
			sent.WriteString(encode("SET", fmt.Sprint("k", i), fmt.Sprint(i)))
		case 1:
			sent.WriteString(encode("GET", fmt.Sprint("k", i-1)))
		case 2:
			sent.WriteString(encode("ECHO", fmt.Sprint(i)))
		case 3:
			sent.WriteString(encode("MGET", fmt.Sprint("k", i-3), "absent", fmt.Sprint("k", i-3)))
		case 4:
			sent.WriteString(encode("NOSUCH", fmt.Sprint(i)))
		}
	}
	go io.WriteString(c.NetConn(), sent.String())
	for i := range n {
		bulk := func(v int) string { return fmt.Sprintf("$%d\r\n%d\r\n", len(fmt.Sprint(v)), v) }
		c.expect([]string{
			"+OK\r\n", bulk(i - 1), bulk(i), "*3\r\n" + bulk(i-3) + "$-1\r\n" + bulk(i-3),
			fmt.Sprintf("-ERR unknown command 'NOSUCH', with args beginning with: '%d' \r\n", i),
		}[i%5])
	}
}

func TestSplitCommandsKeepOrderAndDuplicates(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := p.dial()
	c.Send(encode("MSET", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5", "a", "6"))
	c.expect("+OK\r\n")
	c.Send(encode("MGET", "e", "a", "x", "a", "b", "c", "d"))
	c.expect("*7\r\n$1\r\n5\r\n$1\r\n6\r\n$-1\r\n$1\r\n6\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n")
	for _, step := range []struct{ request, want string }{
		{encode("EXISTS", "a", "a", "b", "x"), ":3\r\n"},
		{encode("TOUCH", "a", "b", "c", "x"), ":3\r\n"},
		{encode("DEL", "a", "a", "b"), ":2\r\n"},
		{encode("UNLINK", "c", "d", "e", "f"), ":3\r\n"},
		{encode("MGET", "a"), "*1\r\n$-1\r\n"},
		{encode("MSET", "a"), "-ERR wrong number of arguments for 'mset' command\r\n"},
		{encode("MSET", "a", "1", "b"), "-ERR wrong number of arguments for 'mset' command\r\n"},
	} {
		c.Send(step.request)
		c.expect(step.want)
	}
}

func TestAFailedPartGivesItsOwnError(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	c := p.dial()
	keys := keysOnEach(t, p, servers)
	servers[1].Do("CONFIG", "SET", "maxmemory", "1")
	defer servers[1].Do("CONFIG", "SET", "maxmemory", "0")
	c.Send(encode("MSET", keys[0], "1", keys[1], "2") + encode("GET", keys[0]))
	c.expect("-OOM command not allowed when used memory > 'maxmemory'.\r\n", "$1\r\n1\r\n")
}

// keysOnEach returns one key for each server, in their order.
func keysOnEach(t *testing.T, p *proxy, servers []*redistest.Server) []string {
	t.Helper()
	c := p.dial()
	defer c.Close()
	keys := make([]string, len(servers))
	found := 0
	for i := 0; found < len(servers); i++ {
		key := fmt.Sprintf("%d:probe", i*7919)
		c.Do("SET", key, "x")
		for j, s := range servers {
			if keys[j] == "" && s.Client().Exists(t.Context(), key).Val() == 1 {
				keys[j] = key
				found++
			}
		}
		c.Do("DEL", key)
	}
	return keys
}

func TestKeysOfSeveralServersAreRefused(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	for _, args := range [][]string{
		{"SUNIONSTORE", keys[0], keys[1]},
		{"RENAME", keys[0], keys[1]},
		{"MSETNX", keys[0], "1", keys[1], "2"},
		{"EVAL", "return 1", "2", keys[0], keys[1]},
		{"PFCOUNT", keys[0], keys[1]},
	} {
		if got, want := c.Do(args...), withoutTags(keys[0], keys[1]); got != want {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	if got := c.Do("EVAL", "return KEYS[1]", "1", keys[1]); got != fmt.Sprintf("$%d\r\n%s\r\n", len(keys[1]), keys[1]) {
		t.Errorf("EVAL with one key: %q", got)
	}
}

func TestErrorsKeepTheConnectionAndEarlierReplies(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	c := p.dial()
	c.Send(encode("SET", "a", "1") + encode("SFLUSH", "a", "0") + encode("SHUTDOWN") + encode("GET") + encode("SUBSTR") +
		encode("OBJECT", "NOPE", "x") + encode("") + encode("GET", "a"))
	c.expect("+OK\r\n", "-ERR unknown command 'SFLUSH', with args beginning with: 'a' '0' \r\n")
	if got := c.Reply(); !strings.HasPrefix(got, "-ERR command 'shutdown' is not allowed by this proxy") {
		t.Errorf("SHUTDOWN: %q", got)
	}
	c.expect("-ERR wrong number of arguments for 'get' command\r\n",
		"-ERR wrong number of arguments for 'substr' command\r\n",
		"-ERR unknown subcommand 'NOPE'. Try OBJECT HELP.\r\n",
		"-ERR unknown command '', with args beginning with: \r\n",
		"$1\r\n1\r\n")
}

func TestProtocolErrorsAnswerWhatCameBeforeThem(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	for _, bad := range []struct{ sent, want string }{
		{"*1\r\n$abc\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
		{"*9999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
		{"*1\r\n$9223372036854775807\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
		{"*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"},
		{"SET 'a\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
		{strings.Repeat("x", 70<<10), "-ERR Protocol error: too big inline request\r\n"},
	} {
		c := p.dial()
		c.Send(encode("SET", "a", "1") + encode("GET", "a"))
		io.WriteString(c.NetConn(), bad.sent) // may fail when the proxy is quick to close
		c.expect("+OK\r\n", "$1\r\n1\r\n", bad.want)
		c.expectClosed()
	}
}

func TestHTTPIsClosedWithoutExecutingAnything(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 1)
	for _, head := range []string{"POST / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n", "Host: x\r\n", encode("POST", "x")} {
		c := p.dial()
		c.Send(head + "Content-Length: 1\r\n\r\nSET owned 1\r\n")
		c.expectClosed()
	}
	if servers[0].Client().Exists(t.Context(), "owned").Val() != 0 {
		t.Error("an HTTP request wrote a key")
	}
}

func TestQuitAnswersEverythingBeforeIt(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	c := p.dial()
	c.Send(encode("SET", "a", "1") + encode("GET", "a") + "QUIT\r\n" + encode("GET", "a"))
	c.expect("+OK\r\n", "$1\r\n1\r\n", "+OK\r\n")
	c.expectClosed()
}

func TestHalfClosedClientIsStillAnswered(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := p.dial()
	const n = 5000
	c.Send(strings.Repeat(encode("INCR", "n")+encode("PING"), n))
	c.closeWrite()
	for i := range n {
		c.expect(fmt.Sprintf(":%d\r\n", i+1), "+PONG\r\n")
	}
	c.expectClosed()
}

// Replies that are there are not kept from a client until the rest of its
// pipeline is answered.
func TestReplyReachesAPipeliningClientThoughALaterServerIsFrozen(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	ring := p.server.Pools()[0].Map().Ring()
	c := p.dial()
	servers[1].Stop()
	t.Cleanup(servers[1].Cont)
	c.Send(encode("SET", keyOf(ring, 0), "v") + encode("GET", keyOf(ring, 0)) + encode("GET", keyOf(ring, 1)))
	c.expect("+OK\r\n", "$1\r\nv\r\n")
	servers[1].Cont()
	c.expect("$-1\r\n")
}

func TestDebugOfAKeyGoesToItsShard(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3, redistest.Debug())
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].AllowCommands = []string{"debug"}
	p := serve(t, cfg)
	c := p.dial()
	for _, key := range keysOnEach(t, p, servers) {
		c.Do("SET", key, "v")
		if got := c.Do("DEBUG", "OBJECT", key); !strings.HasPrefix(got, "+Value at:") {
			t.Errorf("%s: %q", key, got)
		}
	}
}
