package session_test

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

func TestCommandsThatTheProxyAnswers(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	c := p.dial()
	f := func(want string, args ...string) {
		t.Helper()
		if got := c.Do(args...); got != want {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	f("+PONG\r\n", "PING")
	f("$2\r\nhi\r\n", "ping", "hi")
	f("-ERR wrong number of arguments for 'ping' command\r\n", "PING", "a", "b")
	f("$0\r\n\r\n", "ECHO", "")
	f("+OK\r\n", "SELECT", "0")
	f("-ERR DB index is out of range\r\n", "SELECT", "16")
	f("-ERR value is not an integer or out of range\r\n", "SELECT", "abc")
	f("$-1\r\n", "CLIENT", "GETNAME")
	f("+OK\r\n", "CLIENT", "SETNAME", "me")
	f("$2\r\nme\r\n", "CLIENT", "GETNAME")
	f("-ERR Client names cannot contain spaces, newlines or special characters.\r\n", "CLIENT", "SETNAME", "a b")
	f("+OK\r\n", "CLIENT", "SETINFO", "LIB-NAME", "x")
	f("-ERR Unrecognized option 'FOO'\r\n", "CLIENT", "SETINFO", "FOO", "x")
	f("-NOPROTO unsupported protocol version\r\n", "HELLO", "1")
	f("-NOPROTO unsupported protocol version\r\n", "HELLO", "4")
	f("-ERR Protocol version is not an integer or out of range\r\n", "HELLO", "abc")
	f("-ERR Syntax error in HELLO option 'FOO'\r\n", "HELLO", "2", "FOO")
	f("-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n", "AUTH", "x")
	f("-WRONGPASS invalid username-password pair or user is disabled.\r\n", "AUTH", "bob", "x")
	f("-ERR syntax error\r\n", "AUTH", "a", "b", "c")
	f("*1\r\n$1\r\nk\r\n", "COMMAND", "GETKEYS", "GET", "k")
	f("+RESET\r\n", "RESET")
	f("$-1\r\n", "CLIENT", "GETNAME")
	if got := c.Do("HELLO", "2", "SETNAME", "again"); !strings.HasPrefix(got, "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n") {
		t.Errorf("HELLO: %q", got)
	}
	if got := c.Do("TIME"); !strings.HasPrefix(got, "*2\r\n$10\r\n") {
		t.Errorf("TIME: %q", got)
	}
	if got := c.Do("INFO"); !strings.Contains(got, "loading:0\r\n") || !strings.Contains(got, "role:master\r\n") || !strings.Contains(got, "redis_version:") {
		t.Errorf("INFO: %q", got)
	}
	if got := c.Do("INFO", "replication"); strings.Contains(got, "loading:") {
		t.Errorf("INFO replication: %q", got)
	}
	if got := c.Do("COMMAND"); len(got) < 10000 {
		t.Errorf("COMMAND: %d bytes", len(got))
	}
}

func TestClientListAndKillReachAllLoops(t *testing.T) {
	t.Parallel()
	cfg := config(t, "127.0.0.1:1")
	cfg.Proxy.Threads = 3
	p := serve(t, cfg)
	me := p.dial()
	const n = 6
	for i := range n {
		c := p.dial()
		if got := c.Do("CLIENT", "SETNAME", fmt.Sprint("peer", i)); got != "+OK\r\n" {
			t.Fatal(got)
		}
	}
	list := me.Do("CLIENT", "LIST")
	if got := strings.Count(list, " name=peer"); got != n {
		t.Fatalf("%d of %d clients listed:\n%s", got, n, list)
	}
	if got := me.Do("CLIENT", "KILL", "TYPE", "normal"); got != fmt.Sprintf(":%d\r\n", n) {
		t.Fatalf("CLIENT KILL: %q", got)
	}
	if got := strings.Count(me.Do("CLIENT", "LIST"), "id="); got != 1 {
		t.Fatalf("%d clients left", got)
	}
	if got := me.Do("CLIENT", "KILL", "127.0.0.1:1"); got != "-ERR No such client\r\n" {
		t.Fatalf("CLIENT KILL of no client: %q", got)
	}
	me.Send(encode("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"))
	me.expect(":1\r\n")
	me.expectClosed()
}

func TestPoolPasswordIsAskedForAndGivenToServers(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t, redistest.Password("sesame")).Addr())
	cfg.Pools[0].RedisAuth = "sesame"
	p := serve(t, cfg)
	c := p.dial()
	f := func(want string, args ...string) {
		t.Helper()
		if got := c.Do(args...); got != want {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	noauth := "-NOAUTH Authentication required.\r\n"
	f(noauth, "PING")
	f(noauth, "GET", "a")
	f("-ERR unknown command 'FOO', with args beginning with: \r\n", "FOO")
	f("-WRONGPASS invalid username-password pair or user is disabled.\r\n", "AUTH", "wrong")
	f("-WRONGPASS invalid username-password pair or user is disabled.\r\n", "HELLO", "2", "AUTH", "default", "wrong")
	f("+OK\r\n", "AUTH", "sesame")
	f("+OK\r\n", "SET", "a", "1")
	f("-WRONGPASS invalid username-password pair or user is disabled.\r\n", "AUTH", "wrong")
	f("$1\r\n1\r\n", "GET", "a") // a wrong attempt does not undo a right one
	f("+RESET\r\n", "RESET")
	f(noauth, "GET", "a")
	f("+OK\r\n", "AUTH", "default", "sesame")
	c.Send("*11\r\n")
	d := p.dial()
	d.Send("*11\r\n")
	d.expect("-ERR Protocol error: unauthenticated multibulk length\r\n")
	d.expectClosed()
}

func TestWrongServerPasswordIsAnErrorNotAHang(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t, redistest.Password("sesame")).Addr())
	p := serve(t, cfg)
	if got := p.dial().Do("GET", "a"); got != noAuthFromServer {
		t.Errorf("without a password: %q", got)
	}
	cfg = config(t, redistest.Start(t, redistest.Password("sesame")).Addr())
	cfg.Pools[0].RedisAuth = "wrong"
	p = serve(t, cfg)
	c := p.dial()
	c.Do("AUTH", "wrong")
	if got := c.Do("GET", "a"); !strings.HasPrefix(got, "-ERR Server refused the proxy's AUTH or SELECT (server s1, WRONGPASS ") || !strings.HasSuffix(got, "): the request was not sent\r\n") {
		t.Errorf("with a wrong password: %q", got)
	}
}

const noAuthFromServer = "-NOAUTH Authentication required.\r\n"
