package session_test

import (
	"strings"
	"testing"
	"time"

	"ringway/command"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

// allNames are the commands and subcommands that a pool can allow.
func allNames() (names []string) {
	for id := range command.Count() {
		if cmd := command.ByID(id); cmd.Guarded {
			names = append(names, cmd.Name)
		}
	}
	return names
}

// filled returns a request of a command with as few arguments as it may have.
func filled(cmd *command.Command) (args []string) {
	for _, word := range strings.Split(cmd.Name, "|") {
		args = append(args, strings.ToUpper(word))
	}
	for len(args) < max(cmd.Arity, -cmd.Arity) {
		args = append(args, "1")
	}
	return args
}

// TestAUserWithoutRightsMayRunNothing goes through the whole table: whatever the
// proxy answers by itself is refused with the words of the server.
func TestAUserWithoutRightsMayRunNothing(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	for _, s := range servers {
		s.Do("ACL", "SETUSER", "nobody", "on", ">pw", "-@all", "~*", "&*")
	}
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].ACLUsers, cfg.Pools[0].AllowCommands, cfg.Pools[0].Databases = 4, allNames(), 16
	p := serve(t, cfg)
	direct := redistest.Dial(t, "tcp", servers[0].Addr())
	c := p.dial()
	login := encode("AUTH", "nobody", "pw")
	c.Send(login)
	c.expect("+OK\r\n")
	direct.Send(login)
	direct.Reply()
	for id := range command.Count() {
		cmd := command.ByID(id)
		if !cmd.Servable() || cmd.Flags&command.FlagNoAuth != 0 || cmd.IsContainer() {
			continue
		}
		request := filled(cmd)
		want, got := direct.Do(request...), c.Do(request...)
		switch {
		case !strings.HasPrefix(got, "-"):
			t.Errorf("%q is answered with %q, by the server with %q", request, got, want)
		case cmd.Route == command.Local || cmd.Route == command.Transaction || cmd.Route == command.PubSub:
			// Of a command that this server does not have yet, it can't say who may run it.
			unknown := strings.HasPrefix(want, "-ERR unknown command") && strings.HasPrefix(got, "-ERR unknown subcommand")
			if got != want && !unknown {
				t.Errorf("%q is refused with %q, by the server with %q", request, got, want)
			}
		}
	}
}

func TestVerdictsAreAskedForInOrderAndKept(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "bob", "on", ">pw", "~b:*", "resetchannels", "+get", "+ping", "+client|list", "+client|kill", "+client|unblock", "+client|id", "+client|setname",
		"+select|1", "+multi", "+discard", "+acl|whoami", "+client|tracking", "+blpop")
	cfg := config(t, s.Addr())
	cfg.Proxy.Threads = 2
	cfg.Pools[0].ACLUsers, cfg.Pools[0].Databases, cfg.Pools[0].AllowCommands = 4, 16, []string{"monitor"}
	p := serve(t, cfg)
	direct := redistest.Dial(t, "tcp", s.Addr())
	admin, bob, bob2 := p.dial(), p.dial(), p.dial()
	admin.Send(encode("CLIENT", "SETNAME", "admin") + encode("CLIENT", "ID"))
	admin.expect("+OK\r\n")
	id := strings.Trim(admin.Reply(), ":\r\n")
	const noPerm = "-NOPERM this user has no permissions to run the '"
	bob.Send(encode("AUTH", "bob", "pw") + encode("CLIENT", "SETNAME", "bob") + encode("MONITOR") + encode("GET", "b:1") + encode("INFO") + encode("SELECT", "1") + encode("SELECT", "2") +
		encode("MULTI") + encode("EXEC") + encode("MULTI") + encode("INFO") + encode("DISCARD") + encode("ACL", "WHOAMI") + encode("SUBSCRIBE", "x"))
	bob.expect("+OK\r\n", "+OK\r\n", noPerm+"monitor' command\r\n", "$-1\r\n", noPerm+"info' command\r\n", "+OK\r\n", noPerm+"select' command\r\n",
		"+OK\r\n", "-EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the 'exec' command\r\n",
		"+OK\r\n", noPerm+"info' command\r\n", "+OK\r\n", "$3\r\nbob\r\n", noPerm+"subscribe' command\r\n")
	// A permitted CLIENT LIST shows a user only its own clients.
	bob2.Send(encode("HELLO", "3", "AUTH", "bob", "pw", "SETNAME", "second"))
	bob2.Reply()
	if got := bob.Do("CLIENT", "LIST"); strings.Contains(got, "name=admin") || !strings.Contains(got, "name=bob") || !strings.Contains(got, "name=second") {
		t.Errorf("bob sees %s", got)
	}
	admin.Send(encode("BLPOP", "q", "0"))
	redistest.Eventually(t, time.Minute, "somebody is blocked", func() bool { return strings.Contains(direct.Do("INFO", "clients"), "blocked_clients:1") })
	for request, want := range map[string]string{
		encode("CLIENT", "UNBLOCK", id):                              ":0\r\n",
		encode("CLIENT", "KILL", "ID", id):                           ":0\r\n",
		encode("CLIENT", "KILL", "USER", "default"):                  ":0\r\n",
		encode("CLIENT", "LIST", "ID", id):                           "$0\r\n\r\n",
		encode("CLIENT", "TRACKING", "ON", "REDIRECT", id):           "-ERR The client ID you want redirect to does not exist\r\n",
		encode("CLIENT", "KILL", "TYPE", "normal", "MAXAGE", "1000"): ":0\r\n",
	} {
		bob.Send(request)
		if got := bob.Reply(); got != want {
			t.Errorf("%q gives %q, not %q", request, got, want)
		}
	}
	direct.Do("LPUSH", "q", "1")
	admin.expect("*2\r\n$1\r\nq\r\n$1\r\n1\r\n")
	// The user's rights change at the server.
	s.Do("ACL", "SETUSER", "bob", "+info", "-client|list")
	redistest.Eventually(t, time.Minute, "a new verdict", func() bool {
		return strings.HasPrefix(bob.Do("INFO", "server"), "$") && strings.HasPrefix(bob.Do("CLIENT", "LIST"), "-NOPERM")
	})
}

// Redis 6 has no DRYRUN: what can hurt others is refused, and the rest goes on.
func TestWithoutVerdictsNothingHarmfulIsDone(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"-ERR Unknown subcommand or wrong number of arguments for 'DRYRUN'. Try ACL HELP.\r\n", "-NOPERM this user has no permissions to run the 'acl|dryrun' command\r\n"} {
		s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
			if strings.EqualFold(args[0], "ACL") {
				c.Reply(answer)
				return
			}
			if args[0] == "GET" {
				c.Reply("$-1\r\n")
				return
			}
			c.Reply("+OK\r\n")
		})
		cfg := config(t, s.Addr())
		cfg.Pools[0].ACLUsers, cfg.Pools[0].AllowCommands = 1, []string{"monitor"}
		c := serve(t, cfg).dial()
		c.Send(encode("AUTH", "bob", "pw"))
		c.expect("+OK\r\n")
		for _, request := range [][]string{{"CLIENT", "LIST"}, {"CLIENT", "KILL", "ID", "1"}, {"CLIENT", "UNBLOCK", "1"}, {"MONITOR"}, {"INFO"}, {"CLIENT", "TRACKING", "ON", "BCAST"}, {"SUBSCRIBE", "x"}} {
			if got := c.Do(request...); !strings.HasPrefix(got, "-NOPERM User bob has no permissions to run the '") {
				t.Errorf("%q gives %q", request, got)
			}
		}
		for _, request := range [][]string{{"CLIENT", "ID"}, {"CLIENT", "SETNAME", "x"}, {"SELECT", "0"}, {"MULTI"}, {"DISCARD"}, {"ACL", "WHOAMI"}, {"COMMAND", "COUNT"}, {"OBJECT", "HELP"}, {"GET", "x"}} {
			if got := c.Do(request...); strings.HasPrefix(got, "-") {
				t.Errorf("%q gives %q", request, got)
			}
		}
	}
}

// A rule may name a command's first argument: what it permits of one says nothing of
// another, in either order.
func TestAVerdictHoldsForTheArgumentThatRulesName(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "bob", "on", ">pw", "-@all", "resetchannels", "+info|server", "+psubscribe")
	cfg := config(t, s.Addr())
	cfg.Pools[0].ACLUsers = 4
	c := serve(t, cfg).dial()
	c.Send(encode("AUTH", "bob", "pw"))
	c.expect("+OK\r\n")
	for _, section := range []string{"ringway", "server", "clients", "SERVER"} {
		if got := c.Do("INFO", section); strings.HasPrefix(got, "-NOPERM ") == strings.EqualFold(section, "server") {
			t.Errorf("INFO %s is answered with %q", section, got)
		}
	}
	for _, channel := range []string{"fish", "bird"} {
		if got := c.Do("PSUBSCRIBE", channel); !strings.HasPrefix(got, "-NOPERM ") || !strings.Contains(got, channel) {
			t.Errorf("PSUBSCRIBE %s is answered with %q", channel, got)
		}
	}
}
