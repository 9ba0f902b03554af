package session_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

func (c *raw) closeWrite() { closeWrite(c.NetConn()) }

// closeWrite closes the sending side of a connection, also beneath TLS.
func closeWrite(c net.Conn) {
	if over, ok := c.(*tls.Conn); ok {
		over.CloseWrite()
		c = over.NetConn()
	}
	c.(*net.TCPConn).CloseWrite()
}

// sendApart sends each request in a packet of its own, after the proxy has read the one before.
// So the proxy has stopped reading when the last ones come.
func (c *raw) sendApart(p *proxy, requests ...string) {
	c.t.Helper()
	for _, r := range requests {
		c.Send(r)
		c.awaitRead(p)
	}
}

// awaitRead waits until each loop has had a turn in which it could read what was sent.
func (c *raw) awaitRead(p *proxy) {
	c.t.Helper()
	for range 2 {
		p.sessions()
	}
}

// A client in a blocked request that has sent more is not read. Its end is noticed at once all
// the same, and no request stays blocked at the servers.
func TestClientThatLeavesWhileBlockedIsClosedAtOnce(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, servers := servePausable(t, 2)
	key := keyOf(p.server.Pools()[0].Map().Ring(), 0)
	pause := encode("CLIENT", "PAUSE", "60000", "WRITE")
	for _, test := range []struct {
		name, prepare, waits string
		blocked              int
	}{
		{"BLPOP", "", encode("BLPOP", key, "0"), 1},
		{"BLPOP after WATCH", "", encode("WATCH", key) + encode("BLPOP", key, "0"), 1},
		{"XREAD", "", encode("XREAD", "BLOCK", "0", "STREAMS", key, "$"), 1},
		{"WAIT", "", encode("WAIT", "1", "0"), 1},
		{"paused write", pause, encode("RPUSH", key, "x"), 1},
		{"paused script", pause, encode("EVAL", "return redis.call('RPUSH', KEYS[1], 'x')", "1", key), 1},
		{"paused transaction", pause, encode("MULTI") + encode("RPUSH", key, "x") + encode("EXEC"), 1},
		{"paused write of two shards", pause, encode("MSET", key, "x", keyOf(p.server.Pools()[0].Map().Ring(), 1), "x"), 0},
	} {
		for _, half := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s half=%v", test.name, half), func(t *testing.T) {
				other, c := p.dial(), p.dial()
				defer other.Close()
				if test.prepare != "" {
					other.Send(test.prepare)
					other.expect("+OK\r\n")
				}
				c.Send(test.waits)
				awaitBlocked(t, servers[0], test.blocked)
				c.sendApart(p, encode("PING"), encode("PING"), encode("SET", "a", "b"))
				if half {
					c.closeWrite()
					c.WaitClosed()
				} else {
					c.Close()
				}
				eventually(t, "the client is gone", func() bool { return p.server.Clients() == 1 })
				awaitBlocked(t, servers[0], 0)
				if test.prepare != "" {
					other.Do("CLIENT", "UNPAUSE")
				}
				other.Send(encode("EXISTS", key) + encode("RPUSH", key, "job") + encode("DEL", key))
				other.expect(":0\r\n", ":1\r\n", ":1\r\n")
			})
		}
	}
}

// Requests that a client has sent before it closed its sending side are answered, over dedicated
// connections too.
func TestHalfClosedClientGetsRepliesOfDedicatedConnections(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	for _, addr := range []string{servers[0].Addr(), p.addr} {
		for _, test := range [][2]string{
			{encode("EVAL", "return 1", "0"), ":1\r\n"},
			{encode("EVAL", "return 2", "1", "k") + encode("GET", "k"), ":2\r\n$-1\r\n"},
			{encode("WATCH", "k"), "+OK\r\n"},
			{encode("WATCH", "k") + encode("GET", "k"), "+OK\r\n$-1\r\n"},
			{encode("WATCH", "k") + encode("MULTI") + encode("GET", "k") + encode("EXEC"), "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n"},
			{encode("MULTI") + encode("EVAL", "return 3", "1", "k") + encode("EXEC") + encode("PING"), "+OK\r\n+QUEUED\r\n*1\r\n:3\r\n+PONG\r\n"},
			{encode("GET", "k") + encode("BLPOP", "none", "0"), "$-1\r\n"}, // blocked, so closed without a reply
			{encode("RPUSH", "l", "a") + encode("BLPOP", "l", "0"), ":1\r\n*2\r\n$1\r\nl\r\n$1\r\na\r\n"},
			{encode("BLPOP", "l{full}", "0"), "*2\r\n$7\r\nl{full}\r\n$1\r\na\r\n"},
			{encode("WAIT", "0", "0"), ":0\r\n"},
			{encode("SUBSCRIBE", "c"), "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"},
		} {
			c := dialAt(t, addr)
			c.Do("RPUSH", "l{full}", "a")
			c.Send(test[0])
			c.closeWrite()
			if got := c.WaitClosed(); got != test[1] {
				t.Errorf("%s: %q to %q, want %q", addr, got, test[0], test[1])
			}
		}
	}
}

// serveTwo serves pool alpha, of the servers given, and beta, of one real server.
func serveTwo(t *testing.T, adjust func(*conf.Config), servers ...string) (p *proxy, beta string) {
	t.Helper()
	cfg := config(t, servers...)
	well := config(t, redistest.Start(t).Addr()).Pools[0]
	well.Name = "beta"
	cfg.Pools = append(cfg.Pools, well)
	adjust(cfg)
	p = serve(t, cfg)
	return p, p.server.Addrs()["beta"]
}

// Clients of a server that hangs count against max_clients for a moment only after they have
// left.
func TestClientsThatHaveLeftDoNotCountAgainstMaxClients(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.Discard()})
	p, beta := serveTwo(t, func(c *conf.Config) {
		c.Proxy.MaxClients, c.Proxy.Threads = 40, 1
		c.Pools[0].Timeout = 0
	}, s.Addr())
	stays := p.dial()
	stays.Send(encode("GET", "k"))
	pipeline := strings.Repeat(encode("GET", "k"), 3000) // more than client_pipeline
	for i := range 60 {
		conn, err := netDial(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			io.WriteString(conn, encode("GET", "k"))
		} else {
			io.WriteString(conn, pipeline)
		}
		conn.Close()
	}
	dialAt(t, beta).Do("PING")
	began := time.Now()
	eventually(t, "only the client that stays is counted", func() bool { return p.server.Clients() <= 2 })
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("that took %s", d)
	}
	eventually(t, "and is a session", func() bool { return p.sessions()[0] <= 2 })
	stays.Send(encode("PING"))
}

// A half-closed client that reads slowly makes progress.
func TestHalfClosedSlowReaderGetsEverything(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, servers := serveShards(t, 1)
	const size, n = 256 << 10, 24
	servers[0].Do("SET", "k", strings.Repeat("v", size))
	c := p.dial()
	c.tcp().SetReadBuffer(64 << 10)
	c.Send(strings.Repeat(encode("GET", "k"), n))
	c.closeWrite()
	got, buf := 0, make([]byte, size)
	for {
		m, err := c.NetConn().Read(buf)
		got += m
		if err != nil {
			break
		}
		if got%(4*size) < m && got > size {
			time.Sleep(300 * time.Millisecond) // a slow consumer behind it
		}
	}
	if want := n * len(fakeredis.Bulk(strings.Repeat("v", size))); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}

// A half-closed client that reads nothing is closed.
func TestHalfClosedClientThatReadsNothingIsClosed(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, servers := serveShards(t, 1)
	servers[0].Do("SET", "k", strings.Repeat("v", 1<<20))
	c := p.dial()
	c.Send(strings.Repeat(encode("GET", "k"), 64))
	eventually(t, "replies wait", func() bool { return strings.Contains(p.client().ClientList(t.Context()).Val(), "omem=") })
	c.sendApart(p, encode("PING"), encode("PING"))
	c.closeWrite()
	eventually(t, "the client is gone", func() bool {
		return !strings.Contains(p.client().ClientList(t.Context()).Val(), "addr="+c.NetConn().LocalAddr().String())
	})
}

// One pool's clients can't use up max_clients.
func TestMaxClientsKeepsAShareForOtherPools(t *testing.T) {
	inClear(t)
	t.Parallel()
	p, beta := serveTwo(t, func(c *conf.Config) { c.Proxy.MaxClients = 20 }, redistest.Start(t).Addr())
	connect := func(addr string, n int) (all []*raw) {
		for range n {
			c := dialAt(t, addr)
			c.Send(encode("PING"))
			c.expect("+PONG\r\n")
			all = append(all, c)
		}
		return all
	}
	refused := func(addr string) {
		t.Helper()
		c := dialAt(t, addr)
		c.expect(tooMany)
		c.expectClosed()
	}
	first := connect(p.addr, 19)
	refused(p.addr)
	connect(beta, 1)
	refused(beta)
	refused(p.addr)
	first[0].Close()
	eventually(t, "the process is below max_clients", func() bool { return p.server.Clients() < 20 })
	connect(beta, 1) // alpha has its share, so nothing is kept for it
	refused(beta)
}
