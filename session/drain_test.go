package session_test

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

func TestDrainAnswersWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(2), fakeredis.Wait(answer), fakeredis.Reply("$1\r\n1\r\n$1\r\n2\r\n")})
	cfg := config(t, s.Addr())
	cfg.Pools[0].ReplyCheck = time.Hour // no ECHO besides the two requests
	p := serve(t, cfg)
	busy, idle := p.dial(), p.dial()
	busy.Send(encode("GET", "a") + encode("GET", "b"))
	s.WaitRequests(2)
	stopped := make(chan error, 1)
	go func() { stopped <- p.stop() }()
	idle.expectClosed()
	eventually(t, "no client is accepted", func() bool {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(answer)
	busy.expect(bulk("1"), bulk("2"))
	busy.expectClosed()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestDrainThatTakesTooLongIsAnError(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.Discard()})
	cfg := config(t, s.Addr())
	cfg.Proxy.DrainTimeout = 50 * time.Millisecond
	p := serve(t, cfg)
	c := p.dial()
	c.Send(encode("GET", "a"))
	s.WaitRequests(1)
	if err := p.stop(); err == nil {
		t.Error("no error though a request was cut off")
	}
	c.expectClosed()
}

// Every request that was answered was executed once. One that got no reply before the end of the
// proxy may have been executed.
func TestDrainUnderLoadEndsInTime(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	l := startLoad(t, p, 16, 16)
	for i := range 4 {
		l.progress(i)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	l.end() // its clients end with their connections
	if len(l.errors) > 0 {
		t.Errorf("%d errors, the first: %q", len(l.errors), l.errors[0].text)
	}
}

// Blocked requests do not keep the proxy from stopping.
func TestDrainEndsBlockedRequests(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := config(t, s.Addr())
	cfg.Proxy.DrainTimeout = 20 * time.Second
	cfg.Pools[0].AllowCommands = []string{"monitor", "client|pause"}
	p := serve(t, cfg)
	waits := map[*raw]string{}
	for _, test := range [][2]string{
		{encode("BLPOP", "none", "0"), "-UNBLOCKED"},
		{encode("BLPOP", "none", "1000"), "-UNBLOCKED"},
		{encode("BLMOVE", "none", "other", "LEFT", "LEFT", "0"), "-UNBLOCKED"},
		{encode("XREAD", "BLOCK", "0", "STREAMS", "none", "$"), "-UNBLOCKED"},
		{encode("WATCH", "none") + encode("BZPOPMIN", "none", "0"), "+OK\r\n-UNBLOCKED"},
		{encode("WAIT", "3", "0"), "-UNBLOCKED"},
	} {
		c := p.dial()
		c.Send(test[0])
		waits[c] = test[1]
	}
	awaitBlocked(t, s, len(waits))
	for _, test := range [][2]string{
		{encode("SUBSCRIBE", "c"), "*3\r\n"},
		{encode("MULTI") + encode("SET", "k", "v"), "+OK\r\n+QUEUED\r\n"},
		{encode("WATCH", "k"), "+OK\r\n"},
		{encode("BLPOP", "none", "0"), "-UNBLOCKED"},
		{encode("MONITOR"), "+OK\r\n"},
	} {
		c := p.dial()
		c.Send(test[0])
		if !strings.HasPrefix(test[1], "-") {
			for range strings.Count(test[1], "+") + strings.Count(test[1], "*") {
				c.Reply()
			}
			test[1] = ""
		} else {
			awaitBlocked(t, s, 7)
			c.sendApart(p, encode("PING"), encode("PING"), encode("PING"))
		}
		waits[c] = test[1]
	}
	began := time.Now()
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("the end took %s", d)
	}
	for c, want := range waits {
		if got := c.WaitClosed(); want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	awaitBlocked(t, s, 0)
}

// A client whose write is held back by CLIENT PAUSE is told that it may yet be executed.
func TestDrainEndsPausedRequests(t *testing.T) {
	t.Parallel()
	p, servers := servePausable(t, 1)
	c := p.dial()
	c.Do("CLIENT", "PAUSE", "60000", "WRITE")
	c.Send(encode("SET", "k", "v"))
	awaitBlocked(t, servers[0], 1)
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if got := c.WaitClosed(); !strings.HasSuffix(got, "its outcome is unknown\r\n") {
		t.Errorf("%q", got)
	}
}

// An element that is popped while its client is being unblocked is delivered.
func TestDrainLosesNoElement(t *testing.T) {
	t.Parallel()
	for range rounds(3) {
		s := redistest.Start(t)
		p := serve(t, config(t, s.Addr()))
		var clients []*raw
		for range 16 {
			c := p.dial()
			c.Send(encode("BLPOP", "jobs", "0"))
			clients = append(clients, c)
		}
		awaitBlocked(t, s, len(clients))
		var pushing sync.WaitGroup
		pushed := 0
		pushing.Go(func() {
			for range 12 {
				s.Do("RPUSH", "jobs", "job")
				pushed++
			}
		})
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		pushing.Wait()
		delivered := 0
		for _, c := range clients {
			if strings.HasPrefix(c.WaitClosed(), "*2\r\n") {
				delivered++
			}
		}
		left, _ := strconv.Atoi(strings.Trim(s.Do("LLEN", "jobs"), ":\r\n"))
		if delivered+left != pushed {
			t.Errorf("%d delivered and %d left of %d", delivered, left, pushed)
		}
	}
}
