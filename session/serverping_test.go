package session_test

import (
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

// PING fails when no server can be reached, with or without other requests, and only then.
func TestPingTellsWhetherAnyServerIsUp(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, servers := serveShards(t, 3)
	c := p.dial()
	eventually := func(what, prefix string) {
		t.Helper()
		redistest.Eventually(t, 20*time.Second, what, func() bool { return strings.HasPrefix(c.Do("PING"), prefix) })
	}
	if got := c.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("before any other request: %q", got)
	}
	servers[0].Kill()
	for range 20 {
		if got := c.Do("PING", "hello"); got != "$5\r\nhello\r\n" {
			t.Errorf("with one server down: %q", got)
		}
	}
	for _, s := range servers[1:] {
		s.Kill()
	}
	eventually("PING fails", "-ERR no server of the pool can be reached\r\n")
	for range 20 {
		if got := c.Do("PING"); got[0] != '-' {
			t.Errorf("with all servers down: %q", got)
		}
	}
	servers[1].Restart()
	eventually("PING succeeds", "+PONG\r\n")
}

func TestPingSaysThatAllServersAreLoading(t *testing.T) {
	t.Parallel()
	const loading = "-LOADING Redis is loading the dataset in memory\r\n"
	var addrs []string
	for range 2 {
		addrs = append(addrs, fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
			c.Reply(loading)
			c.Close()
		}).Addr())
	}
	c := serve(t, config(t, addrs...)).dial()
	if got := c.Do("PING"); got != loading {
		t.Errorf("PING: %q", got)
	}
}
