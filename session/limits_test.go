package session_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

const tooMany = "-ERR max number of clients reached\r\n"

func TestClientsBeyondMaxClientsGetAnError(t *testing.T) {
	inClear(t)
	t.Parallel()
	for _, test := range []struct {
		name   string
		adjust func(*conf.Config)
	}{
		{"max_clients", func(c *conf.Config) { c.Proxy.MaxClients = 3 }},
		{"client_connections", func(c *conf.Config) { c.Pools[0].MaxClients = 3 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t, redistest.Start(t).Addr())
			test.adjust(cfg)
			p := serve(t, cfg)
			var in []*raw
			for range 3 {
				c := p.dial()
				c.Send(encode("PING"))
				c.expect("+PONG\r\n")
				in = append(in, c)
			}
			out := p.dial()
			out.expect(tooMany)
			out.expectClosed()
			in[0].Close()
			eventually(t, "there is room again", func() bool { return p.server.Clients() < 3 })
			c := p.dial()
			c.Send(encode("PING"))
			c.expect("+PONG\r\n")
		})
	}
}

func TestSilentClientsAreClosed(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Wait(hold), fakeredis.Reply(fakeredis.Bulk("late"))})
	cfg := config(t, s.Addr())
	cfg.Proxy.ClientIdleTimeout = 200 * time.Millisecond
	cfg.Pools[0].ReplyCheck = 0
	p := serve(t, cfg)
	silent, waits := p.dial(), p.dial()
	waits.Send(encode("GET", "k"))
	s.WaitRequests(1)
	silent.expectClosed()
	close(hold) // a client that waits for its reply is not idle
	waits.expect(bulk("late"))
}

// The idle time of a client that has waited for its reply for longer than client_idle_timeout
// begins when the reply has come.
func TestClientIsNotIdleAsSoonAsItsReplyHasCome(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	hold := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Wait(hold), fakeredis.Reply(fakeredis.Bulk("late"))})
	cfg := config(t, s.Addr())
	limit := 500 * time.Millisecond
	cfg.Proxy.ClientIdleTimeout = limit
	cfg.Pools[0].ReplyCheck = 0
	p := serve(t, cfg)
	waits := p.dial()
	waits.Send(encode("GET", "k"))
	s.WaitRequests(1)
	p.dial().expectClosed() // so much time has passed
	released := time.Now()
	close(hold)
	waits.expect(bulk("late"))
	waits.expectClosed()
	// The loop counts from the beginning of the turn in which the reply comes, which may be before that.
	if after := time.Since(released); after < limit/2 {
		t.Errorf("closed as idle %s after the reply", after)
	}
}

// The same if the reply comes in the turn in which idle clients are closed, and has not been
// written yet.
func TestClientIsNotIdleWithItsReplyInTheOutput(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	var hold chan struct{}
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		<-hold
		c.Reply(fakeredis.Bulk("late"))
	})
	cfg := config(t, s.Addr())
	cfg.Proxy.ClientIdleTimeout = 200 * time.Millisecond
	cfg.Pools[0].ReplyCheck = 0
	p := serve(t, cfg)
	for range rounds(4) {
		hold = make(chan struct{})
		before := len(s.Requests())
		waits := p.dial()
		waits.Send(encode("GET", "k"))
		s.WaitRequests(before + 1)
		p.dial().expectClosed() // so much time has passed
		goOn := make(chan struct{})
		p.stall(goOn)
		close(hold)
		time.Sleep(100 * time.Millisecond) // the next tick is due, and the reply has come
		close(goOn)
		waits.expect(bulk("late"))
		waits.Close()
	}
}

// A client whose request waits for room in a server's queue is not idle, although it has no
// request under way.
func TestClientThatWaitsForRoomIsNotIdle(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.ExpectAny(1), fakeredis.Wait(hold), fakeredis.Reply(fakeredis.Bulk("a")),
		fakeredis.ExpectAny(1), fakeredis.Reply(fakeredis.Bulk("b")),
	})
	cfg := config(t, s.Addr())
	cfg.Proxy.ClientIdleTimeout, cfg.Proxy.ServerQueue = 200*time.Millisecond, 1
	cfg.Pools[0].ReplyCheck = 0
	p := serve(t, cfg)
	first, second := p.dial(), p.dial()
	first.Send(encode("GET", "a"))
	s.WaitRequests(1)
	second.Send(encode("GET", "b"))
	for range 3 {
		p.dial().expectClosed() // so much time has passed
	}
	close(hold)
	first.expect(bulk("a"))
	second.expect(bulk("b"))
}

// A client that does not read its replies is not read either. The proxy keeps no more of them
// than client_output allows.
func TestSlowReaderIsNotReadAndThenAnswered(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, _ := serveShards(t, 2)
	value := strings.Repeat("v", 10<<10)
	c := p.dial()
	c.Send(encode("SET", "k", value))
	c.expect("+OK\r\n")
	const n = 20000 // 200 MB of replies
	written := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c.NetConn(), strings.Repeat(encode("GET", "k"), n))
		written <- err
	}()
	other := p.dial()
	for range 50 {
		other.Send(encode("GET", "k"))
		other.expect(bulk(value))
	}
	for range n {
		c.expect(bulk(value))
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestClientThatLetsTooMuchWaitIsClosed(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr())
	cfg.Proxy.ClientOutputLimit = 8 << 20
	p := serve(t, cfg)
	c := p.dial()
	c.Send(encode("SET", "k", strings.Repeat("v", 32<<20)))
	c.expect("+OK\r\n")
	c.Send(encode("GET", "k"))
	eventually(t, "the client is closed", func() bool { return p.server.Clients() == 0 })
	other := p.dial()
	other.Send(encode("STRLEN", "k"))
	other.expect(fmt.Sprintf(":%d\r\n", 32<<20))
}

// When a server's queue is full, its clients are not read. Clients of other servers are served as
// usual, and the former go on when the server does.
func TestStalledServerHoldsItsClientsBack(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.ExpectAny(1), fakeredis.Reply("+OK\r\n"), fakeredis.Wait(goOn),
		fakeredis.Handle(func(c *fakeredis.Conn, _ []string) { c.Reply("+OK\r\n") }),
	})
	m := startHostile(t, s, func(c *conf.Config) {
		c.Proxy.ServerQueue, c.Proxy.ServerQueueBytes = 100, 1<<20
		c.Pools[0].ReplyCheck = 0 // the server has no ECHO
	})
	const clients, each = 10, 200
	value := strings.Repeat("v", 10<<10)
	results := make(chan error, clients)
	for range clients {
		conn, err := netDial(m.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go io.WriteString(conn, strings.Repeat(encode("SET", m.bad, value), each))
		go func() {
			b := make([]byte, each*len("+OK\r\n"))
			_, err := io.ReadFull(conn, b)
			if err == nil && string(b) != strings.Repeat("+OK\r\n", each) {
				err = fmt.Errorf("wrong replies: %.100q", b)
			}
			results <- err
		}()
	}
	s.WaitRequests(1)
	c := m.dial()
	for range 100 {
		c.Send(encode("SET", m.good, "1"))
		c.expect("+OK\r\n")
	}
	close(goOn)
	for range clients {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestClientThatVanishesLeavesTheConnectionUsable(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	for i := range 50 {
		c := p.dial()
		c.Send(strings.Repeat(encode("GET", "mine"), 500))
		c.tcp().SetLinger(0)
		c.Close()
		other, key := p.dial(), fmt.Sprint("other:", i)
		other.Send(encode("SET", key, key) + encode("GET", key))
		other.expect("+OK\r\n", bulk(key))
		other.Close()
	}
	eventually(t, "all clients are gone", func() bool { return p.server.Clients() == 0 })
}

func TestUnixSocketServesAndIsRemoved(t *testing.T) {
	inClear(t)
	t.Parallel()
	dir, err := os.MkdirTemp("", "rw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "ringway.sock")
	cfg := config(t, redistest.Start(t).Addr())
	cfg.Pools[0].Listen = conf.Listen{Network: "unix", Addr: path, Mode: 0o600}
	p := serve(t, cfg)
	c := p.dial()
	c.Send(encode("SET", "k", "v") + encode("GET", "k"))
	c.expect("+OK\r\n", bulk("v"))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket's file is still there: %v", err)
	}
}
