package session_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pool"
)

// hostile is a pool of one real server and one fake one.
type hostile struct {
	*proxy
	real      *redistest.Server
	good      string // a key of the real server
	bad, bad2 string // keys of the fake one
}

// startHostile runs a proxy in front of a real server and the given fake one.
func startHostile(t *testing.T, fake *fakeredis.Server, adjust func(*conf.Config)) *hostile {
	t.Helper()
	real := redistest.Start(t)
	cfg := config(t, real.Addr(), fake.Addr())
	cfg.Proxy.Threads = 1
	cfg.Pools[0].ServerFailureLimit = 1000
	cfg.Pools[0].ReplyCheck = time.Hour // else a slow machine may add an ECHO to the requests
	adjust(cfg)
	m := &hostile{proxy: serve(t, cfg), real: real}
	ring := m.server.Pools()[0].Map().Ring()
	for i, s := range cfg.Pools[0].Servers {
		if s.Addr == real.Addr() {
			m.good = keyOf(ring, i)
			continue
		}
		m.bad = keyOf(ring, i)
		for n := 0; m.bad2 == ""; n++ {
			if key := fmt.Sprint("ill:", n); ring.Index([]byte(key)) == i {
				m.bad2 = key
			}
		}
	}
	return m
}

func unchangedConfig(*conf.Config) {}

// Whatever a server sends, its request gets an error or its own reply, never that of another one,
// and the client's other requests get their replies.
func TestInvalidRepliesOfAServerAffectOnlyItsRequests(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	const protocol = "-ERR Protocol error: the server sent an invalid reply (server s2): the request was sent and its outcome is unknown\r\n"
	for _, test := range []struct{ name, says, want string }{
		{"garbage", "\x16\x03\x01\x00\xff garbage\r\n", protocol},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", protocol},
		{"bulk length out of range", "$99999999999999999999\r\n", protocol},
		{"bulk length over the limit", "$9223372036854775800\r\nabc", protocol},
		{"count over the limit", "*9223372036854775800\r\n", protocol},
		{"depth bomb", strings.Repeat("*1\r\n", 100000), ""},
		{"push", ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", protocol},
		{"short bulk", "$3\r\nabcdef\r\n", protocol},
		{"two replies", "$1\r\n1\r\n$1\r\n2\r\n", "$1\r\n1\r\n"},
		{"error", "-OOM command not allowed\r\n", "-OOM command not allowed\r\n"},
		{"RESP3 null", "_\r\n", "_\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
				if args[0] == "GET" {
					c.Reply(test.says)
					return
				}
				c.Reply("+OK\r\n")
			})
			m := startHostile(t, fake, unchangedConfig)
			c := m.dial()
			c.Send(encode("SET", m.good, "g") + encode("GET", m.good) + encode("PING"))
			c.expect("+OK\r\n", bulk("g"), "+PONG\r\n")
			c.Send(encode("GET", m.bad))
			switch got, err := reply(c.NetConn()); {
			case test.want == "" && err == nil && got[0] != '-':
				// If a part of the reply was passed on, the connection can only be closed.
				if _, err := io.Copy(io.Discard, c.NetConn()); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal("the reply was neither refused nor cut off")
				}
			case test.want == "":
			case err != nil || got != test.want:
				t.Fatalf("got %.100q, %v; want %q", got, err, test.want)
			}
			c = m.dial()
			c.Send(encode("SET", m.bad, "x") + encode("GET", m.good) + encode("SET", m.bad2, "x"))
			for _, want := range []string{"+OK\r\n", bulk("g"), "+OK\r\n"} {
				if got := c.Reply(); got != want && got != protocol {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// The replies to a transaction may come in any pieces, be large, and have a "-" at the beginning
// of a piece. EXEC's reply reaches the client unchanged.
func TestLargeReplyToExecInPieces(t *testing.T) {
	t.Parallel()
	var p *proxy
	pieces := []string{"*4\r\n" + bulk(strings.Repeat("x", 20000)), "$", "5\r\n", "-READ\r\n", "$50\r\nREADONLY", "-READONLY You can't write" + strings.Repeat("y", 50-8-25), "\r\n", ":", "1\r\n"}
	fake := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		switch args[0] {
		case "MULTI":
			c.Reply("+OK\r\n")
		case "GET":
			c.Reply("+QUEUED\r\n")
		case "EXEC":
			other := p.dial()
			for i, b := range pieces {
				for range 3 * min(i, 1) { // turns of the loop, so that the piece before is read by itself
					other.Do("CLIENT", "ID")
				}
				c.Reply(b)
			}
		default:
			c.Reply("+PONG\r\n")
		}
	})
	for _, servers := range []string{"servers = [%q]\n", "topology = \"replicated\"\n[[pools.alpha.shards]]\nname = \"s1\"\nservers = [%q]\n"} {
		cfg, _, err := conf.Parse(fmt.Appendf(nil, "[proxy]\nthreads = 1\n[pools.alpha]\nlisten = \"127.0.0.1:2\"\n"+servers, fake.Addr()), "test.toml")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Pools[0].Listen.Addr = "127.0.0.1:0"
		p = serve(t, cfg)
		if pl := p.server.Pools()[0]; pl.Follows() {
			pl.SetView(0, pool.View{Primary: pool.Member{Addr: fake.Addr()}})
		}
		c := p.dial()
		c.Send(encode("MULTI") + encode("GET", "k") + encode("EXEC"))
		c.expect("+OK\r\n", "+QUEUED\r\n", strings.Join(pieces, ""))
		p.stop()
	}
}

// reply reads until a reply has come, or to the connection's end.
func reply(conn net.Conn) (string, error) {
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	b := make([]byte, 1<<16)
	n, err := conn.Read(b)
	return string(b[:n]), err
}

// After a server that answers a request twice, each reply would belong to the request before. The
// surplus reply is recognised if it comes before the next request is written.
func TestSurplusRepliesAreNotTakenForOthers(t *testing.T) {
	t.Parallel()
	fake := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		c.Reply(strings.Repeat(fakeredis.Bulk(args[len(args)-1]), 2))
	})
	m := startHostile(t, fake, unchangedConfig)
	c := m.dial()
	for i := range 200 {
		key := m.bad
		if i%2 == 1 {
			key = m.bad2
		}
		if got := c.Do("GET", key); got != bulk(key) && !strings.HasPrefix(got, "-ERR ") {
			t.Fatalf("request %d for %s: %q", i, key, got)
		}
	}
}

// After a server that leaves a request without reply, the next reply is not taken for its own: the
// first request times out, and keeps its entry in the queue.
func TestSkippedReplyShiftsNone(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	fake := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if n.Add(1) != 3 {
			c.Reply(fakeredis.Bulk(args[len(args)-1]))
		}
	})
	m := startHostile(t, fake, func(c *conf.Config) {
		c.Pools[0].Timeout, c.Pools[0].ReplyCheck = 100*time.Millisecond, 100*time.Millisecond
		c.Pools[0].ServerFailureLimit = 3
	})
	c := m.dial()
	// The reply to each further request is taken for that of the one before, which has
	// timed out, until a marker shows that replies are missing.
	right, failed := 0, false
	for i := 0; right < 3 || !failed; i++ {
		key := m.bad
		if i%2 == 1 {
			key = m.bad2
		}
		switch got := c.Do("GET", key); {
		case got == bulk(key):
			right++
		case got[0] == '-':
			right, failed = 0, true
		default:
			t.Fatalf("request %d for %s: %q", i, key, got)
		}
	}
}

func TestPartOfAReplyIsNeverPassedOnAsAWhole(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		half string
		end  fakeredis.Step
		cut  bool // a part of the reply has been passed to the client
	}{
		{"short, closed", "$10\r\nabc", fakeredis.Close(), false},
		{"short, reset", "$10\r\nabc", fakeredis.Reset(), false},
		{"header, closed", "$1", fakeredis.Close(), false},
		{"large, closed", "$1000000\r\n" + strings.Repeat("x", 200000), fakeredis.Close(), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake := fakeredis.Start(t,
				fakeredis.Script{fakeredis.ExpectAny(2), fakeredis.Reply(test.half), test.end},
				fakeredis.Script{fakeredis.Handle(func(c *fakeredis.Conn, _ []string) { c.Reply(fakeredis.Bulk("again")) })})
			m := startHostile(t, fake, unchangedConfig)
			c, neighbour := m.dial(), m.dial()
			c.Send(encode("GET", m.bad))
			fake.WaitRequests(1)
			neighbour.Send(encode("GET", m.bad) + encode("SET", m.good, "1"))
			if got := neighbour.Reply(); !strings.HasPrefix(got, "-ERR Connection ") {
				t.Errorf("the neighbour got %q", got)
			}
			neighbour.expect("+OK\r\n")
			neighbour.Send(encode("GET", m.bad))
			neighbour.expect(bulk("again"))
			if !test.cut {
				if got := c.Reply(); !strings.HasPrefix(got, "-ERR Connection ") {
					t.Errorf("got %q", got)
				}
				return
			}
			c.NetConn().SetReadDeadline(time.Now().Add(time.Minute))
			got, err := io.ReadAll(c.NetConn())
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() || !strings.HasPrefix(test.half, string(got)) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
}

// A split request fails if the reply to one of its fragments is of an unexpected type.
func TestSplitRequestsRefuseUnexpectedReplies(t *testing.T) {
	t.Parallel()
	var says atomic.Value
	fake := fakeredis.StartHandler(t, func(c *fakeredis.Conn, _ []string) { c.Reply(says.Load().(string)) })
	m := startHostile(t, fake, unchangedConfig)
	c := m.dial()
	const unexpected = "-ERR a server answered a part of the request with something unexpected\r\n"
	const lost = "-ERR Protocol error: the server lost count of its replies (server s2): a part of the request failed, other parts may have been executed\r\n"
	for _, test := range []struct{ says, request, want string }{
		{"+QUEUED\r\n", encode("MSET", m.good, "1", m.bad, "2"), unexpected},
		{"-" + strings.Repeat("e", 100<<10) + "\r\n", encode("MSET", m.good, "1", m.bad, "2"), unexpected},
		{bulk(strings.Repeat("1", 100<<10)), encode("DEL", m.good, m.bad), lost},
		{"$1\r\n1\r\n", encode("EXISTS", m.good, m.bad), lost},
		{"*2\r\n$1\r\n1\r\n$1\r\n2\r\n", encode("MGET", m.good, m.bad), unexpected},
		{"*-1\r\n", encode("MGET", m.good, m.bad), unexpected},
		{"$1\r\n1\r\n", encode("MGET", m.good, m.bad), lost},
		{"-BUSY script\r\n", encode("MGET", m.good, m.bad), "-BUSY script\r\n"},
		{"*1\r\n$1\r\nb\r\n", encode("MGET", m.bad, m.good), "*2\r\n$1\r\nb\r\n$-1\r\n"},
	} {
		says.Store(test.says)
		c.Send(test.request)
		if got := c.Reply(); got != test.want {
			t.Errorf("%q when a part is answered %.50q: got %.100q, want %q", test.request, test.says, got, test.want)
		}
	}
}

// Error replies of a server go to the client unchanged, and are no failure of the server, except
// for -LOADING in pools that eject.
func TestErrorsOfAServerPassThrough(t *testing.T) {
	t.Parallel()
	var says atomic.Value
	fake := fakeredis.StartHandler(t, func(c *fakeredis.Conn, _ []string) { c.Reply(says.Load().(string)) })
	m := startHostile(t, fake, func(c *conf.Config) {
		c.Pools[0].ServerFailureLimit = 1
		c.Pools[0].AutoEjectHosts = true
	})
	c := m.dial()
	for _, text := range []string{
		"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
		"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
		"-READONLY You can't write against a read only replica.\r\n",
		"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
		"-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.\r\n",
		"-NOREPLICAS Not enough good replicas to write.\r\n",
	} {
		says.Store(text)
		for range 3 {
			if got := c.Do("SET", m.bad, "1"); got != text {
				t.Errorf("got %q, want %q", got, text)
			}
		}
	}
	if m.server.Pools()[0].CountDown() != 0 {
		t.Error("the server counts as down")
	}
}
