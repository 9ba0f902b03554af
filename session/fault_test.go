package session_test

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

const (
	// slack is how much longer than promised something may take on a busy machine.
	slack = 5 * time.Second

	refused = "Connection refused: "
)

// faulty is a pool of four servers under load, one of which the test makes fail.
type faulty struct {
	*proxy
	t       *testing.T
	servers []*redistest.Server // in the order of the configuration
	bad     int                 // index of the one that fails
	load    *load
}

func startFaulty(t *testing.T, adjust func(*conf.Config)) *faulty {
	t.Helper()
	servers := redistest.StartN(t, 4)
	cfg := config(t, addrs(servers)...)
	cfg.Proxy.Threads = 2
	pool := &cfg.Pools[0]
	pool.Timeout, pool.ServerFailureLimit, pool.ServerRetryTimeout = 10*time.Second, 2, 500*time.Millisecond
	adjust(cfg)
	f := &faulty{t: t, bad: 2}
	for i := range pool.Servers {
		for _, s := range servers {
			if s.Addr() == pool.Servers[i].Addr {
				f.servers = append(f.servers, s)
			}
		}
	}
	f.proxy = serve(t, cfg)
	f.load = startLoad(t, f.proxy, 24, 8)
	for i := range servers {
		f.load.progress(i)
	}
	return f
}

// down is how many servers are known to be down.
func (f *faulty) down() int { return f.server.Pools()[0].CountDown() }

// finish ends the load, and checks that only requests for keys of the bad
// server failed. It returns these errors.
func (f *faulty) finish() []loadError {
	f.t.Helper()
	errs := f.load.finish()
	for _, e := range errs {
		if !e.servers[f.bad] {
			f.t.Errorf("a request for other servers failed: %q", e.text)
		}
	}
	if len(errs) == 0 {
		f.t.Error("no request failed: the fault was none")
	}
	return errs
}

func TestKilledServerFailsItsKeysOnlyAndAtOnce(t *testing.T) {
	t.Parallel()
	f := startFaulty(t, func(*conf.Config) {})
	f.servers[f.bad].Kill()
	eventually(t, "the server is known to be down", func() bool { return f.down() == 1 })
	known := time.Now()
	before := f.load.errorsOf(f.bad)
	eventually(t, "errors for its keys", func() bool { return f.load.errorsOf(f.bad) > before+50 })
	for i := range f.servers {
		if i != f.bad {
			f.load.progress(i)
		}
	}
	f.servers[f.bad].Restart()
	restarted := time.Now()
	f.load.progress(f.bad)
	if took := time.Since(restarted); took > time.Second+slack {
		t.Errorf("%v until the server was used again", took)
	}
	for _, e := range f.finish() {
		if e.took > 5*time.Second {
			t.Errorf("an error took %v: %q", e.took, e.text)
		}
		if e.at.After(known.Add(time.Second)) && e.at.Before(restarted) && !strings.Contains(e.text, refused) {
			t.Errorf("error while the server was down: %q", e.text)
		}
	}
}

func TestKilledServerIsEjectedAndComesBackAfterAProbe(t *testing.T) {
	t.Parallel()
	f := startFaulty(t, func(c *conf.Config) { c.Pools[0].AutoEjectHosts = true })
	full := f.server.Pools()[0].Map().Ring()
	f.servers[f.bad].Kill()
	eventually(t, "the server is ejected", func() bool { return f.down() == 1 })

	// The others serve its keys, as the ring without it says.
	down := make([]bool, len(f.servers))
	down[f.bad] = true
	without := full.Without(down)
	c := f.dial()
	for i := range 300 {
		key := fmt.Sprint("moved:", i)
		if got := f.server.Pools()[0].Map().Ring().Index([]byte(key)); got != without.Index([]byte(key)) {
			t.Fatalf("%s is on server %d, want %d", key, got, without.Index([]byte(key)))
		}
	}
	moved := keyOf(full, f.bad)
	eventually(t, "no loop holds on to the lost server", func() bool { return c.Do("SET", moved, "1") == "+OK\r\n" })
	if n := f.servers[without.Index([]byte(moved))].Client().Exists(t.Context(), moved).Val(); n != 1 {
		t.Errorf("%s is not where the ring says", moved)
	}
	ejected := time.Now()
	before := f.load.errorsOf(f.bad)
	for range 3 {
		f.load.progress(f.bad)
	}
	if n := f.load.errorsOf(f.bad) - before; n > 0 && time.Since(ejected) < 400*time.Millisecond {
		t.Logf("%d errors after the ejection", n)
	}

	f.servers[f.bad].Restart()
	restarted := time.Now()
	eventually(t, "the server is restored", func() bool { return f.down() == 0 })
	if took := time.Since(restarted); took > f.server.Pools()[0].Conf().ServerRetryTimeout+time.Second+slack {
		t.Errorf("%v until the server was restored", took)
	}
	if f.server.Pools()[0].Map().Ring().Index([]byte(moved)) != f.bad {
		t.Error("its keys did not return")
	}
	f.load.progress(f.bad)
	if got := c.Do("SET", moved, "2"); got != "+OK\r\n" {
		t.Errorf("SET after the return: %q", got)
	}
	if n := f.servers[f.bad].Client().Exists(t.Context(), moved).Val(); n != 1 {
		t.Errorf("%s did not return to its server", moved)
	}
	f.finish()
}

// Requests that wait for a connection to a server when it is ejected go to the new owners of
// their keys, although making the ring without the server takes a while.
func TestRequestsThatWereNotSentGoToTheNewOwners(t *testing.T) {
	t.Parallel()
	for _, distribution := range []string{"ketama", "bounded"} {
		t.Run(distribution, func(t *testing.T) {
			servers := redistest.StartN(t, 2)
			cfg := config(t, servers[0].Addr(), servers[1].Addr(), redistest.FreeAddr(t))
			c := &cfg.Pools[0]
			c.Distribution, c.AutoEjectHosts, c.ServerFailureLimit, c.ServerRetryTimeout = distribution, true, 1, time.Hour
			p := serve(t, cfg)
			conn := p.dial()
			const n = 200
			for i := range n {
				conn.Send(encode("SET", fmt.Sprint("key:", i), "v"))
			}
			for i := range n {
				if got := conn.Reply(); got != "+OK\r\n" {
					t.Fatalf("reply %d: %q", i, got)
				}
			}
			eventually(t, "the server is ejected", func() bool { return p.server.Pools()[0].CountDown() == 1 })
		})
	}
}

// Restoring a server must cost no error: its connections must accept requests before the ring
// with it is installed.
func TestRestoredServerCostsNoError(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	f := startFaulty(t, func(c *conf.Config) {
		c.Pools[0].AutoEjectHosts = true
		c.Pools[0].ServerRetryTimeout = 10 * time.Millisecond
	})
	for range 8 {
		f.servers[f.bad].Do("CLIENT", "NO-EVICT", "on") // the server is running
		f.servers[f.bad].Kill()
		eventually(t, "the server is ejected", func() bool { return f.down() == 1 })
		f.awaitLastError()
		before := f.load.errorsOf(f.bad)
		f.servers[f.bad].Restart()
		eventually(t, "the server is restored", func() bool { return f.down() == 0 })
		f.load.progress(f.bad)
		if n := f.load.errorsOf(f.bad) - before; n > 0 {
			t.Errorf("%d errors when the server came back", n)
		}
	}
	f.finish()
}

// awaitLastError waits until every client has got all errors of a fault: further requests, more
// than can be under way, then get none.
func (f *faulty) awaitLastError() {
	f.t.Helper()
	eventually(f.t, "errors come to an end", func() bool {
		before := f.load.errorsOf(f.bad)
		for range 20 {
			f.load.progress(f.bad)
		}
		return f.load.errorsOf(f.bad) == before
	})
}

func TestStoppedServerTimesOutAndLateRepliesAreDropped(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for _, eject := range []bool{false, true} {
		t.Run(fmt.Sprint("eject ", eject), func(t *testing.T) {
			f := startFaulty(t, func(c *conf.Config) {
				c.Pools[0].Timeout = 700 * time.Millisecond
				c.Pools[0].AutoEjectHosts = eject
			})
			f.servers[f.bad].Stop()
			eventually(t, "the server is known to be down", func() bool { return f.down() == 1 })
			known := time.Now()
			before := f.load.errorsOf(f.bad)
			if !eject {
				eventually(t, "more errors for its keys", func() bool { return f.load.errorsOf(f.bad) > before+50 })
			}
			f.servers[f.bad].Cont()
			resumed := time.Now()
			eventually(t, "the server is restored", func() bool { return f.down() == 0 })
			if took := time.Since(resumed); took > 1500*time.Millisecond+slack {
				t.Errorf("%v until the server was restored", took)
			}
			f.load.progress(f.bad)
			for _, e := range f.finish() {
				if e.at.After(known.Add(time.Second)) && e.at.Before(resumed) && !strings.Contains(e.text, refused) {
					t.Errorf("error while the server was down: %q", e.text)
				}
			}
		})
	}
}

// A server that stops for less time than it takes to eject it: requests time out, and their
// replies come later, over the same connection.
func TestShortStopCostsTimeoutsOnly(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	f := startFaulty(t, func(c *conf.Config) {
		c.Pools[0].Timeout = 300 * time.Millisecond
		c.Pools[0].ServerFailureLimit = 1000
	})
	for range 3 {
		before := f.load.errorsOf(f.bad)
		f.servers[f.bad].Stop()
		eventually(t, "timeouts", func() bool { return f.load.errorsOf(f.bad) > before+10 })
		f.servers[f.bad].Cont()
		f.load.progress(f.bad)
	}
	for _, e := range f.load.finish() {
		if !strings.Contains(e.text, "timed out") {
			t.Errorf("error: %q", e.text)
		}
	}
	if f.down() != 0 {
		t.Error("the server is down")
	}
}

func TestServersGoDownAndUpUnderLoad(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for _, eject := range []bool{false, true} {
		t.Run(fmt.Sprint("eject ", eject), func(t *testing.T) {
			f := startFaulty(t, func(c *conf.Config) {
				c.Pools[0].AutoEjectHosts = eject
				c.Pools[0].ServerRetryTimeout = 50 * time.Millisecond
				c.Pools[0].ServerFailureLimit = 1
			})
			for range rounds(5) {
				f.servers[f.bad].Kill()
				eventually(t, "the server is known to be down", func() bool { return f.down() == 1 })
				f.servers[f.bad].Restart()
				eventually(t, "the server is restored", func() bool { return f.down() == 0 })
				f.load.progress(f.bad)
			}
			f.finish()
			full := f.server.Pools()[0].Map().Ring()
			for i := range f.servers {
				if key := keyOf(full, i); f.dial().Do("SET", key, "1") != "+OK\r\n" || f.servers[i].Client().Exists(t.Context(), key).Val() != 1 {
					t.Errorf("%s is not on server %d", key, i)
				}
			}
		})
	}
}

// Connections that a server closes while they are idle cost no error.
func TestIdleCloseCostsNoErrorAndEjectsNothing(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 4)
	cfg := config(t, addrs(servers)...)
	cfg.Proxy.Threads = 3
	cfg.Pools[0].ServerFailureLimit, cfg.Pools[0].AutoEjectHosts = 1, true
	p := serve(t, cfg)
	c := p.dial()
	for range 5 {
		for i := range 40 {
			key := fmt.Sprint("k", i)
			c.Send(encode("SET", key, key) + encode("GET", key))
			c.expect("+OK\r\n", bulk(key))
		}
		for _, s := range servers {
			s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		}
	}
	if n := p.server.Pools()[0].CountDown(); n != 0 {
		t.Errorf("%d servers are down", n)
	}
}

// A request that was written is never sent twice: a counter is at least the number of successful
// replies, and at most that and the number of errors with an unknown outcome.
func TestNoWriteIsExecutedTwice(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	t.Run("as it is", func(t *testing.T) { countUnderKills(t, unchangedConfig) })
	t.Run("without io_uring", func(t *testing.T) { countUnderKills(t, withoutIOUring) })
}

// countUnderKills has clients increment counters while all connections to the server are closed
// again and again.
func countUnderKills(t *testing.T, adjust func(*conf.Config)) {
	s := redistest.Start(t)
	cfg := config(t, s.Addr())
	adjust(cfg)
	cfg.Proxy.Threads, cfg.Pools[0].ServerFailureLimit = 2, 1000
	p := serve(t, cfg)
	const clients, each = 20, 400
	var acknowledged, unknown, unsent atomic.Int64
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			conn, err := netDial(p.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for range each {
				io.WriteString(conn, strings.Repeat(encode("INCR", "n"), 5))
				for range 5 {
					switch reply, err := readReply(r); {
					case err != nil:
						t.Error(err)
						return
					case reply[0] == ':':
						acknowledged.Add(1)
					case strings.Contains(reply, "not sent"):
						unsent.Add(1)
					default:
						unknown.Add(1)
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	kills := 0
	for ended := false; !ended; kills++ {
		before := acknowledged.Load()
		s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		eventually(t, "progress", func() bool {
			select {
			case <-done:
				ended = true
			default:
			}
			return ended || acknowledged.Load() > before+200
		})
	}
	n, err := s.Client().Get(t.Context(), "n").Int64()
	if err != nil || n < acknowledged.Load() || n > acknowledged.Load()+unknown.Load() {
		t.Errorf("the counter is %d (%v); %d acknowledged, %d unknown, %d not sent", n, err, acknowledged.Load(), unknown.Load(), unsent.Load())
	}
	t.Logf("%d kills: the counter is %d; %d acknowledged, %d unknown, %d not sent", kills, n, acknowledged.Load(), unknown.Load(), unsent.Load())
}
