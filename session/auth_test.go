package session_test

import (
	"strings"
	"testing"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

func TestClientsMayLogInAsACLUsersOfTheServers(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	for _, s := range servers {
		s.Do("ACL", "SETUSER", "bob", "on", ">right", "~x*", "+get", "+set", "+mget", "+ping", "+eval", "+echo", "+acl|whoami", "+client|getname")
		s.Do("ACL", "SETUSER", "eve", "on", ">right", "+@all", "~*")
	}
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].ACLUsers = 1
	cfg.Pools[0].ServerFailureLimit = 1
	p := serve(t, cfg)
	bob, other := p.dial(), p.dial()
	const wrongPass = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	bob.Send(encode("AUTH", "bob", "wrong") + encode("ACL", "WHOAMI") + encode("AUTH", "bob", "right") + encode("ACL", "WHOAMI") +
		encode("SET", "x1", "1") + encode("MGET", "x1", "x2", "x3") + encode("EVAL", "return 7", "1", "x"))
	bob.expect(wrongPass, "$7\r\ndefault\r\n", "+OK\r\n", "$3\r\nbob\r\n", "+OK\r\n", "*3\r\n$1\r\n1\r\n$-1\r\n$-1\r\n", ":7\r\n")
	for _, request := range [][]string{{"SET", "y", "1"}, {"DEL", "x1"}, {"MGET", "x1", "y"}, {"BLPOP", "x", "0"}, {"DBSIZE"}, {"SUBSCRIBE", "x"}} {
		if got := bob.Do(request...); !strings.HasPrefix(got, "-NOPERM ") {
			t.Errorf("bob may %q: %q", request, got)
		}
	}
	if got := other.Do("SET", "y", "2"); got != "+OK\r\n" {
		t.Errorf("others are taken for bob: %q", got)
	}
	if got := other.Do("AUTH", "eve", "right"); !strings.HasPrefix(got, "-ERR the pool's clients are too many different users") {
		t.Errorf("more users than acl_users: %q", got)
	}
	if got := other.Do("CLIENT", "LIST"); !strings.Contains(got, " user=bob ") || !strings.Contains(got, " user=default ") {
		t.Errorf("the list says %s", got)
	}
	bob.Send(encode("RESET") + encode("GET", "y"))
	bob.expect("+RESET\r\n", "$1\r\n2\r\n")
	if got := bob.Do("HELLO", "3", "AUTH", "bob", "wrong"); got != wrongPass {
		t.Errorf("HELLO with a wrong password: %q", got)
	}
	if got := bob.Do("HELLO", "3", "AUTH", "bob", "right", "SETNAME", "b"); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("HELLO: %q", got)
	}
	if got := bob.Do("GET", "y") + bob.Do("CLIENT", "GETNAME"); !strings.HasPrefix(got, "-NOPERM") || !strings.HasSuffix(got, "$1\r\nb\r\n") {
		t.Errorf("bob after HELLO: %q", got)
	}
	// A changed password affects no other client, and counts as no failure of the server.
	for _, s := range servers {
		s.Do("ACL", "SETUSER", "bob", "resetpass", ">new")
		s.Do("CLIENT", "KILL", "USER", "bob")
	}
	if got := bob.Do("GET", "x1"); !strings.HasPrefix(got, "-ERR") {
		t.Errorf("bob with the old password: %q", got)
	}
	bob.Send(encode("AUTH", "default", ""))
	bob.expect("+OK\r\n")
	if got := bob.Do("MGET", "x1", "y"); got != "*2\r\n$1\r\n1\r\n$1\r\n2\r\n" {
		t.Errorf("the servers are %q", got)
	}
}

func TestUsersAreUnknownUnlessThePoolAllowsThem(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "bob", "on", ">right", "+@all", "~*")
	c := serve(t, config(t, s.Addr())).dial()
	c.Send(encode("AUTH", "bob", "right") + encode("ACL", "WHOAMI"))
	c.expect("-WRONGPASS invalid username-password pair or user is disabled.\r\n", "$7\r\ndefault\r\n")
}

// A user without a password, an empty password and an empty name do not get the rights of the
// pool's own user.
func TestEmptyNamesAndPasswordsDoNotGetThePoolsRights(t *testing.T) {
	t.Parallel()
	for _, own := range []string{"", "sesame"} {
		var opts []redistest.Option
		if own != "" {
			opts = append(opts, redistest.Password(own))
		}
		s := redistest.Start(t, opts...)
		s.Do("ACL", "SETUSER", "u1", "on", "nopass", "~x*", "+get")
		s.Do("ACL", "SETUSER", "", "on", "nopass", "~x*", "+get")
		s.Do("SET", "y", "secret")
		cfg := config(t, s.Addr())
		cfg.Pools[0].ACLUsers, cfg.Pools[0].RedisAuth = 4, own
		cfg.Pools[0].MergeSets = true
		p := serve(t, cfg)
		for _, user := range []string{"u1", ""} {
			for _, password := range []string{"", "any"} {
				for _, how := range [][]string{{"AUTH", user, password}, {"HELLO", "3", "AUTH", user, password}} {
					c := p.dial()
					if got := c.Do(how...); strings.HasPrefix(got, "-") {
						t.Fatalf("%q: %q", how, got)
					}
					for _, request := range [][]string{
						{"GET", "y"}, {"SET", "x", "1"}, {"DEL", "y"}, {"BLPOP", "x", "1"}, {"WATCH", "y"}, {"EVAL", "return redis.call('GET', 'y')", "0"},
						{"SUBSCRIBE", "x"}, {"PUBLISH", "x", "1"}, {"MGET", "x", "y"}, {"DBSIZE"}, {"SCAN", "0"}, {"SUNION", "x", "y"},
					} {
						if got := c.Do(request...); !strings.HasPrefix(got, "-NOPERM ") {
							t.Errorf("redis_auth = %q, after %q: %q gives %q", own, how, request, got)
						}
					}
				}
			}
		}
	}
}

// A large reply to AUTH, which comes in parts, is answered once, with an error.
func TestLargeReplyToAuthIsAnError(t *testing.T) {
	t.Parallel()
	var p *proxy
	fake := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		c.Reply("*2\r\n$20000\r\n" + strings.Repeat("v", 20000))
		p.sessions() // by now the first part has been read
		c.Reply("\r\n+OK\r\n")
	})
	cfg := config(t, fake.Addr())
	cfg.Pools[0].ACLUsers = 1
	var log bugLog
	p = serveLog(t, cfg, &log)
	c := p.dial()
	c.Send(encode("AUTH", "somebody", "secret") + encode("CLIENT", "GETNAME"))
	c.expect("-ERR the server answered AUTH with something unexpected\r\n", "$-1\r\n")
	if bugs := log.take(); bugs != nil {
		t.Error(bugs)
	}
}
