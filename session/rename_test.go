package session_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// When a server's name comes to mean another address, its connections are made
// anew and clients see nothing of it.
func TestNoRequestFailsWhenConnectionsAreMadeAnew(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, servers := serveShards(t, 2)
	there, elsewhere := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	pool := p.server.Pools()[0]
	everywhere := func(at netip.Addr) {
		for _, addr := range pool.Addrs() {
			pool.Resolved(addr, []netip.Addr{at})
		}
	}
	connections := func() (n int) {
		_, after, _ := strings.Cut(servers[0].Do("INFO", "stats"), "total_connections_received:")
		fmt.Sscan(after, &n)
		return n
	}

	listener := p.dial()
	listener.Send(redistest.Request("PSUBSCRIBE", "*"))
	listener.expect("*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n")
	blocked := p.dial()
	blocked.Send(redistest.Request("BLPOP", "list", "0"))
	watching := p.dial()
	watching.Send(redistest.Request("WATCH", "watched"))
	watching.expect("+OK\r\n")
	l := startLoad(t, p, 8, 16)
	for range 50 {
		everywhere(elsewhere)
		l.progress(0)
		l.progress(1)
	}
	for _, e := range l.finish() {
		t.Errorf("a client got %q", e.text)
	}

	c := p.dial()
	c.Send(redistest.Request("RPUSH", "list", "one"))
	c.expect(":1\r\n")
	blocked.expect("*2\r\n$4\r\nlist\r\n$3\r\none\r\n")
	watching.Send(redistest.Request("GET", "watched") + redistest.Request("MULTI") + redistest.Request("SET", "watched", "1") + redistest.Request("EXEC"))
	watching.expect("$-1\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n+OK\r\n")
	redistest.Eventually(t, 30*time.Second, "the subscription is back", func() bool {
		return strings.HasPrefix(servers[0].Do("PUBLISH", "news", "hello"), ":1") && strings.HasPrefix(servers[1].Do("PUBLISH", "news", "hello"), ":1")
	})

	if n := connections(); n < 50 {
		t.Errorf("%d connections were made, too few for the test to mean anything", n)
	}

	// Those that are where they should be stay. The one that asks counts too.
	redistest.Eventually(t, 30*time.Second, "connections stay", func() bool {
		before := connections()
		everywhere(there)
		c.Do("MGET", "a", "b", "c", "d", "e", "f", "g")
		return connections() == before+1
	})
}
