package session_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"ringway/acl"
	"ringway/conf"
	"ringway/internal/redistest"
)

// withUsers returns a configuration of one pool with users, each a line of an ACL file.
func withUsers(t *testing.T, servers []*redistest.Server, lines ...string) *conf.Config {
	t.Helper()
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].Users = usersOf(t, lines...)
	return cfg
}

func usersOf(t *testing.T, lines ...string) *acl.Users {
	t.Helper()
	all, err := acl.Parse(strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return acl.NewUsers(all)
}

const (
	wrongPassword = "-WRONGPASS invalid username-password pair or user is disabled."
	notThisKey    = "-NOPERM this user has no permissions to access one of the keys used as arguments"
)

func TestClientsLogInAsUsersOfTheProxy(t *testing.T) {
	t.Parallel()
	p := serve(t, withUsers(t, redistest.StartN(t, 2), "user default off", "user alice on >a >b +@all ~app:* resetchannels &news:*",
		"user bob off >b +@all ~*", "user carol on nopass +ping +acl|whoami"))
	c := p.dial()
	want(t, c, "-NOAUTH Authentication required.", "GET", "app:1")
	want(t, c, wrongPassword, "AUTH", "alice", "x")
	want(t, c, wrongPassword, "AUTH", "bob", "b")
	c = p.dial()
	want(t, c, wrongPassword, "AUTH", "nobody", "b")
	want(t, c, wrongPassword, "AUTH", "a")
	want(t, c, "+OK", "AUTH", "alice", "b")
	want(t, c, "$5\r\nalice", "ACL", "WHOAMI")
	want(t, c, "+OK", "SET", "app:1", "1")
	want(t, c, notThisKey, "MGET", "app:1", "b")
	want(t, c, notThisKey, "EVAL", "return 1", "2", "app:1", "b")
	want(t, c, ":1", "EVAL", "return 1", "1", "app:1")
	want(t, c, notThisKey, "SORT", "app:1", "STORE", "b")
	want(t, c, "-ERR BY option of SORT denied due to insufficient ACL permissions.", "SORT", "app:l", "BY", "w*")
	want(t, c, "*0", "SORT", "app:l", "BY", "nosort")
	want(t, c, "-ERR GET option of SORT denied due to insufficient ACL permissions.", "SORT", "app:l", "GET", "#")
	want(t, c, "-NOPERM this user has no permissions to access one of the channels used as arguments", "PUBLISH", "x", "y")
	want(t, c, ":0", "PUBLISH", "news:1", "y")
	want(t, c, "+RESET", "RESET")
	want(t, c, "-NOAUTH Authentication required.", "PING")
	if got := c.Do("HELLO", "3", "AUTH", "carol", "whatever", "SETNAME", "c"); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("HELLO says %q", got)
	}
	want(t, c, "$5\r\ncarol", "ACL", "WHOAMI")
	want(t, c, "-NOPERM this user has no permissions to run the 'client|list' command", "CLIENT", "LIST")
	if got := p.dial().Do("HELLO", "2", "AUTH", "carol", "x") + c.Do("HELLO", "2", "AUTH", "alice", "wrong"); !strings.Contains(got, "-WRONGPASS") {
		t.Errorf("HELLO says %q", got)
	}
}

// A refused request fails its transaction, as in Redis; a SORT with patterns fails alone, at EXEC.
func TestRefusedRequestsInTransactions(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2} {
		p := serve(t, withUsers(t, redistest.StartN(t, n), "user default on nopass +@all -get -client|id ~{a}*"))
		c := p.dial()
		const aborted = "-EXECABORT Transaction discarded because of previous errors."
		for _, request := range [][]string{{"GET", "{a}"}, {"SET", "b", "1"}, {"CLIENT", "ID"}} {
			want(t, c, "+OK", "MULTI")
			want(t, c, "+QUEUED", "SET", "{a}", "1")
			if got := c.Do(request...); !strings.HasPrefix(got, "-NOPERM") {
				t.Errorf("%q: %q", request, got)
			}
			want(t, c, aborted, "EXEC")
		}
		c.Send(encode("MULTI") + encode("SET", "{a}", "1") + encode("SORT", "{a}l", "BY", "x*") + encode("INCR", "{a}") + encode("EXEC"))
		c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n",
			"*3\r\n+OK\r\n-ERR BY option of SORT denied due to insufficient ACL permissions.\r\n:2\r\n")
	}
}

func TestACLCommandsAreTheProxys(t *testing.T) {
	t.Parallel()
	p := serve(t, withUsers(t, redistest.StartN(t, 2), "user default on nopass +@all ~* &*", "user alice on >a +@read +@transaction -get %R~app:* (+set ~b)"))
	c, alice := p.dial(), p.dial()
	want(t, alice, "+OK", "AUTH", "alice", "a")
	want(t, c, "*2\r\n$5\r\nalice\r\n$7\r\ndefault", "ACL", "USERS")
	const line = "user alice on #ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb %R~app:* resetchannels -@all +@read +@transaction -get (~b resetchannels -@all +set)"
	want(t, c, fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$34\r\nuser default on nopass ~* &* +@all", len(line), line), "ACL", "LIST")
	want(t, c, "$-1", "ACL", "GETUSER", "nobody")
	want(t, c, "+OK", "ACL", "DRYRUN", "alice", "SET", "b", "1")
	want(t, c, "$50\r\nThis user has no permissions to access the 'c' key", "ACL", "DRYRUN", "alice", "SET", "c", "1")
	want(t, c, "-ERR User 'nobody' not found", "ACL", "DRYRUN", "nobody", "GET", "a")
	want(t, c, "-ERR Command 'nothing' not found", "ACL", "DRYRUN", "alice", "nothing")
	for _, request := range []string{"SETUSER x on", "DELUSER alice", "SAVE", "LOAD"} {
		if got := c.Do(append([]string{"ACL"}, strings.Fields(request)...)...); !strings.HasPrefix(got, "-ERR users are those of the proxy's configuration") {
			t.Errorf("ACL %s: %q", request, got)
		}
	}
	if got := c.Do("ACL", "GENPASS", "5"); len(got) != len("$2\r\nab\r\n") {
		t.Errorf("GENPASS: %q", got)
	}
	if got := c.Do("ACL", "CAT"); !strings.Contains(got, "\r\nkeyspace\r\n") {
		t.Errorf("CAT: %q", got)
	}
	if got := c.Do("ACL", "CAT", "transaction"); !strings.Contains(got, "\r\nmulti\r\n") {
		t.Errorf("CAT: %q", got)
	}
	for range 2 {
		alice.Do("MGET", "app:1", "x")
	}
	alice.Do("get", "app:1")
	alice.Do("AUTH", "bob", "x")
	alice.Send(encode("MULTI") + encode("DEL", "x") + encode("DISCARD"))
	for range 3 {
		alice.Reply()
	}
	got := c.Do("ACL", "LOG")
	for _, part := range []string{
		"$5\r\ncount\r\n:2\r\n$6\r\nreason\r\n$3\r\nkey\r\n$7\r\ncontext\r\n$8\r\ntoplevel\r\n$6\r\nobject\r\n$1\r\nx\r\n$8\r\nusername\r\n$5\r\nalice\r\n",
		"$7\r\ncommand\r\n$7\r\ncontext\r\n$8\r\ntoplevel\r\n$6\r\nobject\r\n$3\r\nget\r\n",
		"$4\r\nauth\r\n$7\r\ncontext\r\n$8\r\ntoplevel\r\n$6\r\nobject\r\n$4\r\nAUTH\r\n$8\r\nusername\r\n$3\r\nbob\r\n",
		"$7\r\ncommand\r\n$7\r\ncontext\r\n$5\r\nmulti\r\n$6\r\nobject\r\n$3\r\ndel\r\n",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("the log lacks %q: %q", part, got)
		}
	}
	want(t, c, "+OK", "ACL", "LOG", "RESET")
	want(t, c, "*0", "ACL", "LOG", "5")
	if got := c.Do("CLIENT", "LIST"); !strings.Contains(got, " user=alice ") {
		t.Errorf("the list says %q", got)
	}
	want(t, c, "-ERR No such user 'bob'", "CLIENT", "KILL", "USER", "bob")
	want(t, c, ":1", "CLIENT", "KILL", "USER", "alice")
	alice.expectClosed()
	// Inside of a transaction, too.
	c.Send(encode("MULTI") + encode("ACL", "USERS") + encode("ACL", "LOG") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n*2\r\n$5\r\nalice\r\n$7\r\ndefault\r\n*0\r\n")
}

// Rights that a reload changes hold at once, also in the middle of what a client does.
func TestReloadChangesUsers(t *testing.T) {
	t.Parallel()
	before := []string{"user default on nopass +@all ~* &*", "user alice on >a +@all ~* &*", "user bob on >b +@all ~* &*", "user carol on >c +@all ~* &*"}
	p := serve(t, withUsers(t, redistest.StartN(t, 2), before...))
	login := func(name, password string) *raw {
		c := p.dial()
		want(t, c, "+OK", "AUTH", name, password)
		return c
	}
	alice, bob, carol, listener, other := login("alice", "a"), login("bob", "b"), login("carol", "c"), login("carol", "c"), p.dial()
	want(t, alice, "+OK", "MULTI")
	want(t, alice, "+QUEUED", "GET", "a")
	listener.Do("SUBSCRIBE", "news")
	blocked := login("bob", "b")
	blocked.Send(encode("BLPOP", "list", "0"))
	p.mustReload(func(c *conf.Config) {
		c.Pools[0].Users = usersOf(t, before[0], "user alice on >new +@all -get ~* &*", "user carol on >c +@all ~* &sport")
	})
	bob.expectClosed() // he is gone
	blocked.expectClosed()
	listener.expectClosed() // who heard what she may not hear any more
	want(t, carol, "$-1", "GET", "a")
	want(t, alice, "-EXECABORT Transaction discarded because of: NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call", "EXEC")
	want(t, alice, "-NOPERM this user has no permissions to run the 'get' command", "GET", "a")
	want(t, p.dial(), wrongPassword, "AUTH", "alice", "a")
	want(t, other, "$-1", "GET", "a")
	p.mustReload(func(c *conf.Config) { c.Pools[0].Users = nil })
	alice.expectClosed()
	want(t, other, "$-1", "GET", "a")
	p.mustReload(func(c *conf.Config) { c.Pools[0].Users = usersOf(t, "user default on >secret +@read ~*") })
	want(t, other, "$-1", "GET", "a") // it had logged in, as far as it had to
	want(t, other, "-NOPERM this user has no permissions to run the 'set' command", "SET", "a", "1")
	want(t, p.dial(), "-NOAUTH Authentication required.", "GET", "a")
}

// A session that moves takes its user along, and the rights of each loop are the same.
func TestUsersMoveBetweenLoops(t *testing.T) {
	t.Parallel()
	cfg := withUsers(t, redistest.StartN(t, 2), "user default on nopass +get +acl|whoami ~a*")
	cfg.Proxy.Threads = 2
	p := serve(t, cfg)
	c := p.dial()
	for i := range 4 {
		p.moveAll(i % 2)
		want(t, c, "$-1", "GET", "a")
		want(t, c, notThisKey, "GET", "b")
		want(t, c, "-NOPERM this user has no permissions to run the 'set' command", "SET", "a", "1")
	}
}

// Servers see a user of their own, if the user has one, and check it too.
func TestServersSeeTheirOwnUser(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	for _, s := range servers {
		s.Do("ACL", "SETUSER", "backend", "on", ">secret", "+get", "+set", "+ping", "+echo", "~app:*")
	}
	cfg := withUsers(t, servers, "user default on nopass +@all ~* &*", "user alice on >a +@all ~* &*")
	alice := cfg.Pools[0].Users.Named("alice")
	alice.ServerUser, alice.ServerPassword = "backend", "secret"
	p := serve(t, cfg)
	for _, login := range [][]string{{"AUTH", "alice", "a"}, {"HELLO", "3", "AUTH", "alice", "a"}} {
		c := p.dial()
		if got := c.Do(login...); strings.HasPrefix(got, "-") {
			t.Fatalf("%q: %q", login, got)
		}
		want(t, c, "+OK", "SET", "app:1", "1")
		want(t, c, notThisKey, "SET", "other", "1")                                                            // the server says so
		want(t, c, "-NOPERM this user has no permissions to run the 'incr' command", "INCR", "app:1")          // likewise
		if got := c.Do("SUBSCRIBE", "x"); !strings.Contains(got, "subscribe") || strings.HasPrefix(got, "-") { // over the pool's connections
			t.Errorf("SUBSCRIBE: %q", got)
		}
	}
	want(t, p.dial(), "+OK", "SET", "other", "1")
	c := p.dial()
	want(t, c, "+OK", "AUTH", "alice", "a")
	p.mustReload(func(c *conf.Config) {
		c.Pools[0].Users = usersOf(t, "user default on nopass +@all ~* &*", "user alice on >a +@all ~* &*")
	})
	c.expectClosed() // servers see alice as somebody else now
}

// What a user may not do is looked up without allocating for what it may.
func TestNothingIsAllocatedForUsersWithFewRights(t *testing.T) {
	inClear(t) // whose own crypto/tls allocates; package tlsconn has a test of ours
	p := serve(t, withUsers(t, redistest.StartN(t, 2), "user default on nopass +@all -@dangerous ~app:* %R~shared:*"))
	c := p.dial()
	request := []byte(strings.Repeat(encode("SET", "app:1", "v")+encode("GET", "app:1")+encode("MGET", "app:1", "app:2", "shared:1"), 16))
	reply := strings.Repeat("+OK\r\n$1\r\nv\r\n*3\r\n$1\r\nv\r\n$-1\r\n$-1\r\n", 16)
	got := make([]byte, len(reply))
	once := func() {
		c.NetConn().Write(request)
		if _, err := io.ReadFull(c.NetConn(), got); err != nil || string(got) != reply {
			t.Fatalf("reply %.100q, %v", got, err)
		}
	}
	for range 100 {
		once() // buffers find their sizes
	}
	if avg := allocationsPerRun(500, once); avg >= 1 {
		t.Errorf("%.2f allocations", avg)
	}
}

// A certificate may stand for a password: then a session begins as a user who exists and is on.
func TestSessionsBeginAsAUser(t *testing.T) {
	t.Parallel()
	p := serve(t, withUsers(t, redistest.StartN(t, 1), "user default off", "user alice on >a +@all ~a", "user bob off >b +@all ~*"))
	c := p.dial()
	want(t, c, "-NOAUTH Authentication required.", "GET", "a")
	for _, test := range []struct {
		name, reply string
		begins      bool
	}{
		{"bob", "-NOAUTH Authentication required.", false},
		{"nobody", "-NOAUTH Authentication required.", false},
		{"alice", "$-1", true},
	} {
		for _, w := range p.server.Workers() {
			w.Do(func() {
				if w.Len() > 0 && w.BeginAllAs(test.name) != test.begins {
					t.Errorf("%s begins: %t", test.name, !test.begins)
				}
			})
		}
		want(t, c, test.reply, "GET", "a")
	}
	want(t, c, notThisKey, "GET", "b")
}
