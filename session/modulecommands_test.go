package session_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/topology"
)

// commandOf returns one command's entry in the reply to COMMAND.
func commandOf(name, arity, flags string, keys ...string) string {
	var words []string
	for _, f := range strings.Fields(flags) {
		words = append(words, "+"+f+"\r\n")
	}
	return "*7\r\n" + fakeredis.Bulk(name) + ":" + arity + "\r\n" + fakeredis.Array(words...) +
		":" + keys[0] + "\r\n:" + keys[1] + "\r\n:" + keys[2] + "\r\n*0\r\n"
}

// withCategories adds ACL categories to what commandOf has returned.
func withCategories(command string, categories ...string) string {
	var words []string
	for _, c := range categories {
		words = append(words, "+"+c+"\r\n")
	}
	return strings.TrimSuffix(command, "*0\r\n") + fakeredis.Array(words...)
}

// withSubcommands adds subcommands, in the form of Redis 7.
func withSubcommands(command string, subcommands ...string) string {
	return "*10" + strings.TrimPrefix(command, "*7") + "*0\r\n*0\r\n" + fakeredis.Array(subcommands...)
}

// startWithModule starts a fake Redis with a module. It answers the module's commands with their
// arguments.
func startWithModule(t *testing.T) *fakeredis.Server {
	return fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		switch strings.ToLower(args[0]) {
		case "command":
			c.Reply(fakeredis.Array(
				commandOf("get", "2", "readonly fast", "1", "1", "1"),
				commandOf("my.get", "2", "readonly module", "1", "1", "1"),
				commandOf("my.mset", "-3", "write module", "1", "-1", "2"),
				commandOf("my.all", "-1", "readonly module", "0", "0", "0"),
				commandOf("my.denied", "2", "readonly", "1", "1", "1"),
				commandOf("my.allowed", "2", "admin", "1", "1", "1"),
				commandOf("my.admin", "-1", "admin module", "0", "0", "0"),
				withSubcommands(commandOf("commandlog", "-2", "", "0", "0", "0"), commandOf("commandlog|get", "-3", "admin loading stale", "0", "0", "0")),
				withCategories(commandOf("trimslots", "-5", "write", "0", "0", "0"), "@keyspace", "@write", "@slow", "@dangerous"),
				withSubcommands(commandOf("my.family", "-2", "readonly", "1", "1", "1"), commandOf("my.family|get", "-3", "readonly", "1", "1", "1")),
			))
		case "info":
			c.Reply(fakeredis.Bulk("# Server\r\nredis_version:7.4.0\r\n"))
		case "echo":
			c.Reply(fakeredis.Bulk(args[1]))
		case "my.get", "my.mset", "my.all", "my.admin", "my.allowed", "my.family":
			c.Reply(fakeredis.Bulk(strings.Join(args, " ")))
		case "multi":
			c.Reply("+OK\r\n")
		default:
			c.Reply("-ERR unknown command\r\n")
		}
	})
}

func TestCommandsOfModulesGoToTheShardOfTheirKeys(t *testing.T) {
	t.Parallel()
	one, two := startWithModule(t), startWithModule(t)
	cfg := config(t, one.Addr(), two.Addr())
	if cfg.Pools[0].Servers[0].Addr != one.Addr() {
		one, two = two, one // in the order of the shards
	}
	cfg.Pools[0].DenyCommands, cfg.Pools[0].AllowCommands = []string{"my.denied"}, []string{"my.allowed"}
	p := serve(t, cfg)
	c := p.dial()
	if got := c.Do("MY.GET", "k"); !strings.HasPrefix(got, "-ERR unknown command 'MY.GET'") {
		t.Fatalf("before anything is known: %q", got)
	}
	prober := topology.NewProber(slog.New(slog.DiscardHandler))
	defer prober.Stop()
	pl := p.server.Pools()[0]
	prober.LearnVersions(pl)
	redistest.Eventually(t, 30*time.Second, "the servers' commands are known", func() bool { return pl.Commands() != nil })
	var keys []string
	for i := 0; len(keys) < 2; i++ {
		if key := fmt.Sprint("owned:", i); pl.Map().Index([]byte(key)) == len(keys) {
			keys = append(keys, key)
		}
	}
	for i, s := range []*fakeredis.Server{one, two} {
		want := fakeredis.Bulk("my.GET " + keys[i])
		if got := c.Do("my.GET", keys[i]); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		redistest.Eventually(t, 10*time.Second, "the request and a marker are with the shard of the key", func() bool {
			r := s.Requests()
			return len(r) > 1 && r[len(r)-2].Args[0] == "my.GET" && r[len(r)-1].Args[0] == "ECHO"
		})
	}
	log := audited(p)
	for _, name := range []string{"my.admin", "commandlog", "trimslots"} {
		if got := c.Do(name, "1", "2", "3", "4"); !strings.HasPrefix(got, "-ERR command '"+name+"' is not allowed by this proxy: ") {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, f := range [][]string{
		{"-ERR wrong number of arguments for 'my.get' command\r\n", "MY.GET"},
		{fakeredis.Bulk("my.family get " + keys[1]), "my.family", "get", keys[1]},
		{"-ERR where the keys of 'my.all' are is not known: not supported by a sharded pool\r\n", "MY.ALL"},
		{"-ERR command 'my.denied' is not allowed by this proxy: the pool's deny_commands refuses it\r\n", "MY.DENIED", keys[1]},
		{withoutTags(keys[0], keys[1]), "MY.MSET", keys[0], "1", keys[1], "2"},
		{fakeredis.Bulk("MY.MSET " + keys[1] + " 1"), "MY.MSET", keys[1], "1"},
		{fakeredis.Bulk("my.allowed " + keys[1]), "my.allowed", keys[1]},
	} {
		if got := c.Do(f[1:]...); got != f[0] {
			t.Errorf("%v: %q, want %q", f[1:], got, f[0])
		}
	}
	want := "alpha default my.admin: denied by the pool, alpha default commandlog: denied by the pool, alpha default trimslots: denied by the pool, " +
		"alpha default my.denied: denied by the pool, alpha default my.allowed: executed"
	if got := strings.Join(log.take(t, 5), ", "); got != want {
		t.Errorf("the audit log: %s", got)
	}
}
