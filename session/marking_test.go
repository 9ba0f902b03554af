package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

// Servers at which the proxy's user may not ECHO, or at which it is renamed, serve
// as others do: no connection is cut, no client gets an error.
func TestServersThatRefuseEcho(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for _, test := range []struct {
		name   string
		args   []string
		acl    []string
		remade bool // connections are, after scripts
	}{
		{"acl", nil, []string{"-echo"}, false},
		{"acl of both", nil, []string{"-echo", "-ping"}, true},
		{"renamed", []string{"--rename-command", "ECHO", "NOECHO"}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := redistest.Start(t, redistest.Args(test.args...))
			for _, rule := range test.acl {
				s.Do("ACL", "SETUSER", "default", rule)
			}
			cfg := config(t, s.Addr())
			cfg.Proxy.Threads = 1
			cfg.Pools[0].Timeout, cfg.Pools[0].ReplyCheck = 20*time.Second, 5*time.Millisecond
			p := serve(t, cfg)
			c := p.dial()
			for began, i := time.Now(), 0; time.Since(began) < 300*time.Millisecond || i < 20; i++ {
				c.Send(encode("SET", "k", strings.Repeat("v", 3000)) + strings.Repeat(encode("GET", "k"), 40))
				c.expect("+OK\r\n")
				for range 40 {
					c.expect(bulk(strings.Repeat("v", 3000)))
				}
			}
			before := connections(s)
			if before > 3+len(test.acl) { // those of the test, the proxy's, and one of the control plane
				t.Errorf("%d connections", before)
			}
			for i := range 10 {
				c.Send(encode("EVAL", "return ARGV[1]", "1", "k", fmt.Sprint(i)) + encode("GET", "none") + encode("MULTI") + encode("EVAL", "return 7", "1", "k") + encode("EXEC"))
				c.expect(bulk(fmt.Sprint(i)), "$-1\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n:7\r\n")
			}
			if after := connections(s); !test.remade && after > before+4 {
				t.Errorf("%d connections before scripts, %d after", before, after)
			}
		})
	}
}

// connections is how many connections a server has accepted.
func connections(s *redistest.Server) (n int) {
	_, after, _ := strings.Cut(s.Do("INFO", "stats"), "total_connections_received:")
	fmt.Sscan(after, &n)
	return n
}

// A reply of a type that its command never has goes to nobody, also where several
// keys need no cutting.
func TestRepliesOfAnotherTypeGoToNobody(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ request, says string }{
		{encode("GET", "a"), ":1\r\n"},
		{encode("EXISTS", "a", "b"), "$1\r\n1\r\n"},
		{encode("MGET", "a", "b"), ":1\r\n"},
		{encode("DEL", "a", "b"), "*0\r\n"},
		{encode("MSET", "a", "1", "b", "2"), ":1\r\n"},
	} {
		fake := fakeredis.StartHandler(t, func(c *fakeredis.Conn, _ []string) { c.Reply(test.says) })
		c := serve(t, config(t, fake.Addr())).dial()
		c.Send(test.request)
		c.expect("-ERR Protocol error: the server lost count of its replies (server s1): the request was sent and its outcome is unknown\r\n")
	}
}
