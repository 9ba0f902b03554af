package session_test

import (
	"testing"

	"ringway/internal/redistest"
)

// serveDatabases is serveShards for a pool in which databases may be swapped and emptied.
func serveDatabases(t *testing.T, n int) *proxy {
	t.Helper()
	cfg := config(t, addrs(redistest.StartN(t, n))...)
	cfg.Pools[0].AllowCommands = []string{"swapdb", "flushdb"}
	return serve(t, cfg)
}

func TestEachSessionHasItsDatabase(t *testing.T) {
	t.Parallel()
	p := serveDatabases(t, 2)
	zero, nine := p.dial(), p.dial()
	zero.Send(encode("MSET", "a", "0", "b", "0"))
	nine.Send(encode("GET", "a") + encode("SELECT", "9") + encode("MSET", "a", "9", "b", "9", "c", "9") + encode("DBSIZE"))
	zero.expect("+OK\r\n")
	nine.Reply()
	nine.expect("+OK\r\n", "+OK\r\n", ":3\r\n")
	zero.Send(encode("MGET", "a", "b", "c") + encode("DBSIZE"))
	zero.expect("*3\r\n$1\r\n0\r\n$1\r\n0\r\n$-1\r\n", ":2\r\n")
	nine.Send(encode("SELECT", "16") + encode("SELECT", "-1") + encode("SELECT", "x") + encode("GET", "c") + encode("HELLO", "3"))
	nine.expect("-ERR DB index is out of range\r\n", "-ERR DB index is out of range\r\n", "-ERR value is not an integer or out of range\r\n", "$1\r\n9\r\n")
	nine.Reply()
	nine.Send(encode("GET", "a") + encode("EVAL", "return redis.call('GET', KEYS[1])", "1", "a") + encode("BLPOP", "none", "0.01") +
		encode("MOVE", "c", "0") + encode("COPY", "a", "a", "DB", "16") + encode("COPY", "a", "copied{a}", "DB", "x") + encode("RESET") + encode("GET", "c"))
	nine.expect("$1\r\n9\r\n", "$1\r\n9\r\n", "_\r\n", ":1\r\n", "-ERR DB index is out of range\r\n")
	nine.Reply()
	nine.expect("+RESET\r\n", "$1\r\n9\r\n")
	zero.Send(encode("FLUSHDB") + encode("SWAPDB", "0", "9") + encode("GET", "a"))
	zero.expect("+OK\r\n", "+OK\r\n", "$1\r\n9\r\n")
}

func TestSelectInsideTransactionStaysInEffect(t *testing.T) {
	t.Parallel()
	p := serveDatabases(t, 2)
	c := p.dial()
	c.Send(encode("MULTI") + encode("SET", "a", "0") + encode("SELECT", "3") + encode("SET", "a", "3") + encode("EXEC") + encode("GET", "a") + encode("DBSIZE") +
		encode("SELECT", "0") + encode("GET", "a") + encode("MULTI") + encode("SELECT", "4") + encode("DISCARD") + encode("GET", "a"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*3\r\n+OK\r\n+OK\r\n+OK\r\n", "$1\r\n3\r\n", ":1\r\n",
		"+OK\r\n", "$1\r\n0\r\n", "+OK\r\n", "+QUEUED\r\n", "+OK\r\n", "$1\r\n0\r\n")
	other := p.dial()
	if got := other.Do("GET", "a"); got != "$1\r\n0\r\n" {
		t.Errorf("another client finds itself elsewhere: %q", got)
	}
}

func TestWatchRemembersTheDatabase(t *testing.T) {
	t.Parallel()
	p := serveDatabases(t, 1)
	c, other := p.dial(), p.dial()
	for _, test := range []struct{ changed, reply string }{{"5", "*-1\r\n"}, {"6", "*1\r\n+OK\r\n"}} {
		c.Send(encode("SELECT", "5") + encode("WATCH", "a") + encode("SELECT", "6") + encode("GET", "b"))
		c.expect("+OK\r\n", "+OK\r\n", "+OK\r\n", "$-1\r\n")
		other.Send(encode("SELECT", test.changed) + encode("SET", "a", "x"))
		other.expect("+OK\r\n", "+OK\r\n")
		c.Send(encode("MULTI") + encode("SET", "c", "6") + encode("EXEC"))
		c.expect("+OK\r\n", "+QUEUED\r\n", test.reply)
	}
	c.Send(encode("GET", "c") + encode("SELECT", "5") + encode("GET", "c"))
	c.expect("$1\r\n6\r\n", "+OK\r\n", "$-1\r\n")
}

func TestOnlyDatabaseHasTwoNumbers(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr())
	cfg.Pools[0].RedisDB, cfg.Pools[0].Databases = 7, 1
	c := serve(t, cfg).dial()
	c.Send(encode("SELECT", "0") + encode("SET", "a", "7") + encode("SELECT", "7") + encode("GET", "a") + encode("SELECT", "1") + encode("MOVE", "a", "1") + encode("MULTI") + encode("SELECT", "0"))
	c.expect("+OK\r\n", "+OK\r\n", "+OK\r\n", "$1\r\n7\r\n", "-ERR DB index is out of range\r\n", "-ERR DB index is out of range\r\n", "+OK\r\n", "+QUEUED\r\n")
}
