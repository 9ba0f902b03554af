package session_test

import (
	"strings"
	"testing"
)

func TestGuardedCommandsNeedThePoolsPermission(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	c := p.dial()
	for _, args := range [][]string{
		{"KEYS", "*"}, {"FLUSHALL"}, {"flushdb"}, {"CONFIG", "GET", "save"}, {"CONFIG", "HELP"},
		{"SLOWLOG", "LEN"}, {"LATENCY", "LATEST"}, {"DEBUG", "SLEEP", "0"}, {"SAVE"},
	} {
		got := c.Do(args...)
		if !strings.HasPrefix(got, "-ERR command '"+strings.ToLower(args[0])) || !strings.Contains(got, "is not allowed by this proxy: ") || !strings.Contains(got, "allow_commands") {
			t.Errorf("%q: %q", args, got)
		}
	}
	c.Send(encode("KEYS") + encode("PING"))
	c.expect("-ERR wrong number of arguments for 'keys' command\r\n", "+PONG\r\n")
}

func TestPoolAllowsAndDeniesCommands(t *testing.T) {
	t.Parallel()
	_, servers := serveShards(t, 2)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].AllowCommands = []string{"config", "keys"}
	cfg.Pools[0].DenyCommands = []string{"config|set", "eval", "object"}
	c := serve(t, cfg).dial()
	for _, test := range []struct {
		want    string
		request []string
	}{
		{"*0\r\n", []string{"KEYS", "*"}},
		{"*2\r\n$4\r\nsave\r\n$0\r\n\r\n", []string{"CONFIG", "GET", "save"}},
		{"-ERR command 'config|set' is not allowed by this proxy: the pool's deny_commands refuses it\r\n", []string{"CONFIG", "SET", "hz", "10"}},
		{"-ERR command 'eval' is not allowed by this proxy: the pool's deny_commands refuses it\r\n", []string{"EVAL", "return 1", "0"}},
		{"-ERR command 'object|encoding' is not allowed by this proxy: the pool's deny_commands refuses it\r\n", []string{"OBJECT", "ENCODING", "a"}},
		{"$-1\r\n", []string{"GET", "a"}},
		{"+OK\r\n", []string{"MULTI"}},
		{"+QUEUED\r\n", []string{"EVAL", "return 1", "0"}},
		{"-EXECABORT Transaction discarded because of: ERR command 'eval' is not allowed by this proxy: the pool's deny_commands refuses it\r\n", []string{"EXEC"}},
	} {
		if got := c.Do(test.request...); got != test.want {
			t.Errorf("%q: %q, want %q", test.request, got, test.want)
		}
	}
}

func TestPasswordComesBeforePolicy(t *testing.T) {
	t.Parallel()
	_, servers := serveShards(t, 1)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].RedisAuth = "secret"
	c := serve(t, cfg).dial()
	if got := c.Do("FLUSHALL"); got != "-NOAUTH Authentication required.\r\n" {
		t.Error(got)
	}
}

// Only the servers' ACL binds scripts, but a script that names a denied command is refused.
func TestScriptsThatNameADeniedCommandAreRefused(t *testing.T) {
	t.Parallel()
	_, servers := serveShards(t, 2)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].DenyCommands = []string{"getdel", "object|freq"}
	cfg.Pools[0].AllowCommands = []string{"script"}
	c := serve(t, cfg).dial()
	const getdel = "-ERR command 'getdel' is not allowed by this proxy: the pool's deny_commands refuses it\r\n"
	for _, test := range []struct {
		want    string
		request []string
	}{
		{getdel, []string{"EVAL", "return redis.call('GetDel', KEYS[1])", "1", "k"}},
		{getdel, []string{"EVAL", `local x = "it's" return redis.pcall("getdel", KEYS[1])`, "1", "k"}},
		{getdel, []string{"SCRIPT", "LOAD", "return redis.call('GETDEL', KEYS[1])"}},
		{getdel, []string{"FUNCTION", "LOAD", "REPLACE", "#!lua name=x\nredis.register_function('f', function(k) return redis.call('GETDEL', k[1]) end)"}},
		{"-ERR command 'object|freq' is not allowed by this proxy: the pool's deny_commands refuses it\r\n", []string{"EVAL", "return redis.call('object', 'freq', KEYS[1])", "1", "k"}},
		{"$-1\r\n", []string{"EVAL", "-- getdel, 'object'\nreturn redis.call('GET', KEYS[1])", "1", "k"}},
		{"+OK\r\n", []string{"MULTI"}},
		{"+QUEUED\r\n", []string{"EVAL", "return redis.call('GETDEL', KEYS[1])", "1", "k"}},
		{"-EXECABORT Transaction discarded because of: " + getdel[1:], []string{"EXEC"}},
		{"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", []string{"SUBSCRIBE", "x"}},
	} {
		if got := c.Do(test.request...); got != test.want {
			t.Errorf("%q: %q, want %q", test.request, got, test.want)
		}
	}
	if got := c.Do("EVAL", "return 1", "0"); !strings.HasPrefix(got, "-ERR Can't execute 'eval'") {
		t.Errorf("a subscriber's script: %q", got)
	}
}

func TestPoolAllowsAndDeniesCategories(t *testing.T) {
	t.Parallel()
	_, servers := serveShards(t, 2)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].AllowCommands = []string{"*"}
	cfg.Pools[0].DenyCommands = []string{"@write", "@connection"}
	c := serve(t, cfg).dial()
	want(t, c, "*0", "KEYS", "*")
	want(t, c, "-ERR command 'set' is not allowed by this proxy: the pool's deny_commands refuses it", "SET", "a", "1")
	want(t, c, "-ERR command 'ping' is not allowed by this proxy: the pool's deny_commands refuses it", "PING")
	want(t, c, "-ERR command 'set' is not allowed by this proxy: the pool's deny_commands refuses it", "EVAL", "return redis.call('SET', KEYS[1], 1)", "1", "a")
	want(t, c, "$-1", "GET", "a")
	want(t, c, "+RESET", "RESET")
}
