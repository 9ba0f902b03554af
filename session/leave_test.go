package session_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

// stopping begins to stop a proxy whose drain_delay never ends by itself. The result is stop's.
func (p *proxy) stopping() <-chan error {
	stopped := make(chan error, 1)
	go func() { stopped <- p.stop() }()
	eventually(p.t, "the proxy is draining", p.server.Draining)
	return stopped
}

// skipDelay ends drain_delay.
func (p *proxy) skipDelay() {
	p.t.Helper()
	eventually(p.t, "drain_delay to be skipped", p.server.SkipDelay)
}

// During drain_delay clients are served as before, and new ones too. Only health checks are told.
func TestDrainDelayServesAsBefore(t *testing.T) {
	t.Parallel()
	for name, password := range map[string]string{"open": "", "password": "secret"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			if password != "" {
				s = redistest.Start(t, redistest.Password(password))
			}
			cfg := config(t, s.Addr())
			cfg.Proxy.DrainDelay, cfg.Proxy.DrainTimeout = time.Hour, 0
			cfg.Pools[0].RedisAuth = password
			p := serve(t, cfg)
			auth, login := "", []string{}
			if password != "" {
				auth, login = encode("AUTH", password), []string{"+OK\r\n"}
			}
			before := p.dial()
			before.Send(auth + encode("SET", "k", "v"))
			before.expect(append(login, "+OK\r\n")...)
			stopped := p.stopping()
			eventually(t, "health checks to be told", func() bool {
				check := p.dial()
				defer check.NetConn().Close()
				check.Send(auth + encode("PING"))
				check.expect(login...)
				return strings.HasPrefix(check.Reply(), "-ERR the proxy is being stopped")
			})
			later := p.dial()
			later.Send(auth + encode("GET", "k") + encode("PING"))
			later.expect(append(login, bulk("v"), "+PONG\r\n")...)
			before.Send(encode("PING") + encode("GET", "k"))
			before.expect("+PONG\r\n", bulk("v"))
			cfgNow := *p.server.Conf()
			if err := p.reload(func(c *conf.Config) { *c = cfgNow }); err == nil {
				t.Error("a reload took effect in a process that is about to end")
			}
			p.skipDelay()
			<-stopped // a DrainTimeout of 0 may cut the idle clients off
			before.WaitClosed()
			later.WaitClosed()
			if _, err := net.Dial("tcp", p.addr); err == nil {
				t.Error("a client was accepted afterwards")
			}
		})
	}
}

// Without drain_delay there is none to skip.
func TestNoDelayToSkip(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	if p.server.SkipDelay() {
		t.Error("skipped")
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if p.server.SkipDelay() {
		t.Error("skipped after the end")
	}
}

// After drain_delay idle clients are not all closed in one moment.
func TestIdleClientsAreClosedOverTime(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr())
	cfg.Proxy.DrainDelay, cfg.Proxy.DrainTimeout = time.Hour, 3*time.Second // so they are closed over 1.5s
	p := serve(t, cfg)
	var closed sync.WaitGroup
	times := make([]time.Time, 16)
	for i := range times {
		c := p.dial()
		c.Do("PING")
		closed.Go(func() {
			c.WaitClosed()
			times[i] = time.Now()
		})
	}
	stopped := p.stopping()
	p.skipDelay()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	closed.Wait()
	first, last := times[0], times[0]
	for _, at := range times {
		if at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	if d := last.Sub(first); d < 300*time.Millisecond {
		t.Errorf("all were closed within %s", d)
	}
}

// While a pool is paused its requests wait and nothing reaches its servers. Clients can still connect.
func TestPausedPoolHoldsRequestsBack(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	before, tx, moved := p.dial(), p.dial(), p.dial()
	before.Do("SET", "k", "v")
	tx.Do("MULTI")
	moved.Do("PING")
	if err := p.server.PausePool("alpha", time.Hour); err != nil {
		t.Fatal(err)
	}
	p.moveAll(1)
	calls := func() (n string) {
		for _, s := range servers {
			for line := range strings.Lines(s.Do("INFO", "commandstats")) {
				if name, rest, _ := strings.Cut(line, ":"); strings.HasPrefix(name, "cmdstat_") && !strings.HasSuffix(name, "_info") && !strings.HasSuffix(name, "_ping") && !strings.HasSuffix(name, "_echo") {
					n += name + strings.Split(rest, ",")[0]
				}
			}
		}
		return n
	}
	earlier := calls()
	waiting := map[*raw][]string{}
	for request, replies := range map[string][]string{
		encode("GET", "k"):                                  {bulk("v")},
		encode("GET", "k") + encode("SET", "l", "1"):        {bulk("v"), "+OK\r\n"},
		encode("MGET", "k", "m"):                            {"*2\r\n" + bulk("v") + "$-1\r\n"},
		encode("EVAL", "return 1", "0"):                     {":1\r\n"},
		encode("BLPOP", "none", "0.01"):                     {"*-1\r\n"},
		encode("MULTI") + encode("EXEC"):                    {"+OK\r\n", "*0\r\n"},
		encode("WATCH", "k"):                                {"+OK\r\n"},
		encode("DEL", "none"):                               {":0\r\n"},
		encode("SUBSCRIBE", "c"):                            {"*3\r\n" + bulk("subscribe") + bulk("c") + ":1\r\n"},
		"GET k\r\n":                                         {bulk("v")},
		encode("SCRIPT", "EXISTS", strings.Repeat("0", 40)): {"*1\r\n:0\r\n"},
	} {
		c := p.dial()
		c.Send(encode("CLIENT", "SETNAME", "n") + encode("PING"))
		c.expect("+OK\r\n", "+PONG\r\n")
		c.Send(request)
		waiting[c] = replies
	}
	tx.Send(encode("INCR", "n"))
	tx.expect("+QUEUED\r\n")
	tx.Send(encode("EXEC"))
	moved.Send(encode("GET", "k"))
	p.moveAll(0) // those that wait can't
	last := p.dial()
	last.Send(encode("CLIENT", "ID"))
	last.Reply()
	for c := range waiting {
		c.NetConn().SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		if n, _ := c.NetConn().Read(make([]byte, 64)); n > 0 {
			t.Errorf("a request was answered: want %q later", waiting[c])
		}
		c.NetConn().SetReadDeadline(time.Time{})
	}
	if now := calls(); now != earlier {
		t.Errorf("servers got requests: %s, %s before", now, earlier)
	}
	if left := p.server.Figures().Pools[0].Paused; left <= 0 {
		t.Errorf("the figures say paused for %s", left)
	}
	if was, err := p.server.ResumePool("alpha"); !was || err != nil {
		t.Error(was, err)
	}
	for c, replies := range waiting {
		c.expect(replies...)
	}
	tx.expect("*1\r\n:1\r\n")
	moved.expect(bulk("v"))
	if was, _ := p.server.ResumePool("alpha"); was {
		t.Error("resumed twice")
	}
	if p.server.PausePool("beta", time.Hour) == nil {
		t.Error("an unknown pool was paused")
	}
}

// A pause ends by itself, and one within the other: that of CLIENT PAUSE WRITE still holds writes back.
func TestPausesOfAPoolEnd(t *testing.T) {
	t.Parallel()
	p, servers := servePausable(t, 1)
	c, w := p.dial(), p.dial()
	if err := p.server.PausePool("alpha", 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	c.Send(encode("SET", "k", "v"))
	c.expect("+OK\r\n")
	c.Send(encode("CLIENT", "PAUSE", "60000", "WRITE"))
	c.expect("+OK\r\n")
	if err := p.server.PausePool("alpha", time.Hour); err != nil {
		t.Fatal(err)
	}
	w.Send(encode("GET", "k") + encode("SET", "k", "w"))
	if _, err := p.server.ResumePool("alpha"); err != nil {
		t.Fatal(err)
	}
	w.expect(bulk("v"))
	awaitBlocked(t, servers[0], 1)
	c.Send(encode("CLIENT", "UNPAUSE"))
	c.expect("+OK\r\n")
	w.expect("+OK\r\n")
}

// A client whose request waits for the end of a pause is told that it was not sent.
func TestDrainAnswersWhatAPauseHolds(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	c := p.dial()
	c.Do("PING")
	if err := p.server.PausePool("alpha", time.Hour); err != nil {
		t.Fatal(err)
	}
	c.sendApart(p, encode("GET", "k"), encode("CLIENT", "ID"))
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if got := c.WaitClosed(); !strings.HasSuffix(got, "the request was not sent\r\n") {
		t.Errorf("%q", got)
	}
}

// A loop that hangs is named, and only as long as it does.
func TestHangingLoopsAreNamed(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	eventually(t, "all loops turn", func() bool { return len(p.server.Hanging()) == 0 })
	hang := make(chan struct{})
	p.stall(hang)
	if got := p.server.Hanging(); len(got) != len(p.server.Workers()) {
		t.Errorf("loops %v hang, want all", got)
	}
	close(hang)
	eventually(t, "all loops turn", func() bool { return len(p.server.Hanging()) == 0 })
}
