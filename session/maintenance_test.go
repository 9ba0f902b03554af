package session_test

import (
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

// noticing returns a client in RESP3 that has asked for notices of maintenance.
func (p *proxy) noticing() *raw {
	p.t.Helper()
	c := p.dial()
	c.Do("HELLO", "3")
	want(p.t, c, "+OK", "CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "external-fqdn")
	return c
}

// expectPush expects a push whose number is any.
func (c *raw) expectPush(want string) {
	c.t.Helper()
	got := strings.Split(strings.TrimSuffix(c.Reply(), "\r\n"), "\r\n")
	if len(got) > 3 {
		got = append(got[2:3], got[4:]...) // without its length, the name's, and the number
	}
	if text := strings.Join(got, " "); text != want {
		c.t.Fatalf("push %q, want %q", text, want)
	}
}

func TestAskingForNoticesOfMaintenance(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	c := p.dial()
	want(t, c, "-ERR CLIENT MAINT_NOTIFICATIONS needs RESP3: send HELLO 3 first", "CLIENT", "MAINT_NOTIFICATIONS", "ON")
	want(t, c, "+OK", "CLIENT", "MAINT_NOTIFICATIONS", "OFF")
	c.Do("HELLO", "3")
	for _, request := range []string{"ON", "on", "ON MOVING-ENDPOINT-TYPE none", "ON moving-endpoint-type internal-ip", "off"} {
		want(t, c, "+OK", append([]string{"CLIENT", "MAINT_NOTIFICATIONS"}, strings.Fields(request)...)...)
	}
	for _, request := range []string{"maybe", "ON none", "ON moving-endpoint-type", "ON moving-endpoint-type ip", "ON other none", "OFF none", "ON moving-endpoint-type none none"} {
		want(t, c, "-ERR syntax error", append([]string{"CLIENT", "MAINT_NOTIFICATIONS"}, strings.Fields(request)...)...)
	}
}

// When the process is about to end, clients are told at once to connect again: idle ones, those whose request blocks, those
// inside a transaction, and those that come later. Others see nothing.
func TestClientsAreToldThatTheProcessEnds(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr())
	cfg.Proxy.DrainDelay, cfg.Proxy.DrainTimeout = time.Hour, 4*time.Second
	p := serve(t, cfg)
	idle, blocked, inside, off, resp2 := p.noticing(), p.noticing(), p.noticing(), p.noticing(), p.noticing()
	blocked.Send(encode("BLPOP", "list", "0"))
	inside.Send(encode("MULTI") + encode("INCR", "n"))
	inside.expect("+OK\r\n", "+QUEUED\r\n")
	want(t, off, "+OK", "CLIENT", "MAINT_NOTIFICATIONS", "OFF")
	resp2.Do("HELLO", "2")
	eventually(t, "BLPOP is under way", func() bool { return strings.Contains(off.Do("INFO", "clients"), "blocked_clients:1") })
	stopped := p.stopping()
	const moving = "MOVING :7202 _" // twice an hour, and up to 2 s more since the clients are to come one after the other
	for _, c := range []*raw{idle, blocked, inside} {
		if got := c.Reply(); !strings.HasPrefix(got, ">4\r\n$6\r\nMOVING\r\n:") || !strings.Contains(got, "\r\n:720") || !strings.HasSuffix(got, "\r\n_\r\n") {
			t.Errorf("got %q, want something like %s", got, moving)
		}
	}
	off.Do("RPUSH", "list", "v")
	blocked.expect("*2\r\n$4\r\nlist\r\n$1\r\nv\r\n")
	want(t, inside, "*1\r\n:1", "EXEC")
	later := p.noticing()
	if got := later.Reply(); !strings.HasPrefix(got, ">4\r\n$6\r\nMOVING\r\n") {
		t.Errorf("a client that came later is told %q", got)
	}
	for _, c := range []*raw{idle, blocked, inside, later, off, resp2} {
		want(t, c, "+PONG", "PING")
		c.expectSilence()
	}
	p.skipDelay()
	for _, c := range []*raw{idle, blocked, inside, later, off, resp2} {
		c.WaitClosed()
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// The push comes behind the reply that is under way, never inside it.
func TestNoticesDoNotSplitReplies(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr())
	cfg.Proxy.DrainDelay = time.Hour
	p := serve(t, cfg)
	big := strings.Repeat("x", 8<<20)
	p.dial().Do("SET", "big", big)
	c := p.noticing()
	c.Send(strings.Repeat(encode("GET", "big"), 3) + encode("PING"))
	p.dial().Do("PING")
	stopped := p.stopping()
	p.sessions() // the loops have told
	for replies, pushes := 0, 0; replies < 4 || pushes < 1; {
		switch got := c.Reply(); {
		case strings.HasPrefix(got, ">4\r\n$6\r\nMOVING"):
			pushes++
		case got == bulk(big), got == "+PONG\r\n":
			replies++
		default:
			t.Fatalf("reply of %d bytes: %.40q", len(got), got)
		}
	}
	p.skipDelay()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A pool that is replaced tells its clients, and closes them a moment later.
func TestClientsAreToldThatTheirPoolGoes(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 1)
	p := serve(t, config(t, servers[0].Addr()))
	c, other := p.noticing(), p.dial()
	other.Do("PING")
	p.mustReload(func(cfg *conf.Config) {
		cfg.Pools = append([]conf.Pool(nil), cfg.Pools...)
		cfg.Pools[0].Name = "beta"
	})
	c.expectPush("MOVING :2 _")
	want(t, c, "+PONG", "PING")
	other.WaitClosed()
	c.WaitClosed()
}

// While requests wait for a primary clients are told, and so are they when that is over.
func TestClientsAreToldOfFailovers(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	g := redistest.StartGroup(t, 0)
	p, pl := serveGroup(t, g, nil)
	pl.SetView(0, view(g.Primary))
	c, other := p.noticing(), p.dial()
	c.Do("SET", "a", "1")
	pl.Hold(0)
	c.expectPush("FAILING_OVER :20 *0")
	pl.Release(0)
	c.expectPush("FAILED_OVER *0")
	want(t, c, "+PONG", "PING")
	want(t, other, "+PONG", "PING")
	want(t, c, "+OK", "CLIENT", "MAINT_NOTIFICATIONS", "OFF")
	pl.Hold(0)
	c.expectSilence()
	pl.Release(0)
}
