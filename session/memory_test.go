package session_test

import (
	"fmt"
	"strings"
	"testing"

	"ringway/conf"
	"ringway/internal/redistest"
)

// unread sends a request whose reply the client does not read.
func (p *proxy) unread(request string) *raw {
	p.t.Helper()
	c := p.dial()
	c.tcp().SetReadBuffer(64 << 10)
	c.Send(request)
	return c
}

// startTight starts a proxy that may hold 20 MiB, before a server with a value of 6 MiB
// and one of 16.
func startTight(t *testing.T, loops int) *proxy {
	t.Helper()
	server := redistest.Start(t)
	server.Do("SET", "k6", strings.Repeat("v", 6<<20))
	server.Do("SET", "k16", strings.Repeat("v", 16<<20))
	cfg := config(t, server.Addr())
	cfg.Proxy.MaxMemory, cfg.Proxy.Threads = 20<<20, loops
	return serve(t, cfg)
}

// At the process's bound the clients are closed for which most is held, and no others.
func TestLargestClientsAreClosedAtMaxMemory(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p := startTight(t, 1)
	c := p.dial()
	medium := p.unread(encode("GET", "k6"))
	eventually(t, "a reply is held", func() bool { return p.server.State().MemoryUsed > 1<<20 })
	for i := range 3 {
		p.unread(encode("GET", "k16"))
		p.unread(encode("GET", "k16"))
		eventually(t, "the larger clients are closed", func() bool { return p.server.State().ClosedForMemory > int64(i) })
		c.Send(encode("STRLEN", "k16"))
		c.expect(fmt.Sprintf(":%d\r\n", 16<<20))
	}
	medium.expect(bulk(strings.Repeat("v", 6<<20)))
}

// The loop that finds the bound reached may be another than that of the largest client.
func TestLargestClientOfAnotherLoopIsClosed(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p := startTight(t, 2)
	large := p.unread(encode("PING"))
	large.expect("+PONG\r\n")
	p.moveAll(1)
	eventually(t, "it is on the other loop", func() bool { return p.sessions()[1] == 1 })
	large.Send(encode("GET", "k16"))
	eventually(t, "its reply is held", func() bool { return p.server.State().MemoryUsed > 12<<20 })
	medium := p.unread(encode("GET", "k6"))
	eventually(t, "a client is closed", func() bool { return p.server.State().ClosedForMemory > 0 })
	medium.expect(bulk(strings.Repeat("v", 6<<20)))
}

// Above three quarters of the bound a client's requests run one after the other.
func TestClientsWaitWhileMuchIsHeld(t *testing.T) {
	t.Parallel()
	s := startSilentServer(t, func(c *conf.Config) { c.Proxy.MaxMemory = 16 << 20 })
	filler := s.dial()
	filler.Send(fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s", 16<<20, strings.Repeat("v", 13<<20)))
	eventually(t, "much is held", func() bool { return s.server.State().MemoryUsed > 12<<20 })
	s.tick()
	c := s.dial()
	c.Send(strings.Repeat(encode("GET", s.bad), 5))
	s.expectOnly("GET", 1)
	s.answer(1, bulk("v"))
	c.expect(bulk("v"))
	s.expectOnly("GET", 2)
	filler.Close()
	s.answer(1, bulk("v"))
	c.expect(bulk("v"))
	eventually(t, "the others go on", func() bool { return s.received("GET") == 5 })
}

// Buffers that were lent for a client come back however its connection ends.
func TestNothingIsHeldForClosedClients(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	servers := redistest.StartN(t, 2)
	p := serve(t, config(t, addrs(servers)...))
	c := p.dial()
	value := strings.Repeat("v", 300<<10)
	for _, key := range []string{"a", "b", "c", "d"} {
		c.Send(encode("SET", key, value))
		c.expect("+OK\r\n")
	}
	for range 5 {
		for _, request := range []string{
			strings.Repeat(encode("GET", "a")+encode("GET", "b"), 50),
			strings.Repeat(encode("MGET", "a", "b", "c", "d"), 20),
			encode("SET", "a", value)[:200<<10],
			encode("MULTI") + encode("SET", "a", value) + encode("GET", "a") + encode("EXEC"),
			strings.Repeat(encode("KEYS", "*")+encode("INFO")+encode("DBSIZE"), 20),
			strings.Repeat(encode("SET", "a", "1")+encode("EVAL", "return 1", "1", "b"), 100),
		} {
			p.unread(request).Close()
			other := p.unread(request)
			other.tcp().SetLinger(0)
			other.Close()
		}
	}
	c.Close()
	eventually(t, "all clients are gone", func() bool { return p.server.Clients() == 0 })
	eventually(t, "nothing is held", func() bool { return p.server.State().MemoryUsed == 0 })
}
