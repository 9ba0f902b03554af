package topology_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
	"ringway/topology"
)

const patience = 30 * time.Second

// watch returns a pool of servers that a prober watches, and has one loop so
// that servers can be taken down.
func watch(t *testing.T, adjust func(*conf.Pool), addrs ...string) (*pool.Pool, *topology.Prober) {
	t.Helper()
	return watchLog(t, slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}), adjust, addrs...)
}

// watchLog is watch with a log of the test's own.
func watchLog(t *testing.T, h slog.Handler, adjust func(*conf.Pool), addrs ...string) (*pool.Pool, *topology.Prober) {
	t.Helper()
	cfg := conf.Default()
	c := conf.DefaultPool("alpha")
	c.ConnectTimeout, c.ServerFailureLimit, c.ServerRetryTimeout = 5*time.Second, 1, 50*time.Millisecond
	for i, addr := range addrs {
		c.Servers = append(c.Servers, conf.Server{Name: fmt.Sprint("s", i), Network: "tcp", Addr: addr, Weight: 1})
	}
	adjust(&c)
	log := slog.New(h)
	prober := topology.NewProber(log)
	t.Cleanup(prober.Stop)
	p, err := pool.New(&c, &cfg.Proxy, prober, log)
	if err != nil {
		t.Fatal(err)
	}
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		loop.Run()
		cancel()
	}()
	t.Cleanup(func() {
		loop.Stop()
		<-ctx.Done()
	})
	loop.Post(func() {
		l := p.NewLocal(loop, nil)
		for i := range addrs {
			keepConnected(loop, l.ConnSet(resp.RESP2, p.Conf().RedisDB).Conn(i, 0))
		}
	})
	return p, prober
}

// keepConnected asks for a connection again and again, as requests would.
func keepConnected(loop *eventloop.Loop, c *pipeline.Conn) {
	if c.Up() && c.InFlight() == 0 {
		c.Send([]byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), nobody{}, 0)
	}
	again := loop.NewTimer(func() { keepConnected(loop, c) })
	again.After(5 * time.Millisecond)
}

// nobody is a Receiver of replies that do not matter.
type nobody struct{}

func (nobody) Reply(uint32, []byte, bool)             {}
func (nobody) Fail(uint32, *pipeline.Failure, []byte) {}

func nothing(*conf.Pool) {}

func TestServerIsRestoredWhenItAnswers(t *testing.T) {
	for _, eject := range []bool{false, true} {
		t.Run(fmt.Sprint("eject ", eject), func(t *testing.T) {
			redistest.CheckLeaks(t)
			s, other := redistest.Start(t), redistest.Start(t)
			s.Kill()
			p, _ := watch(t, func(c *conf.Pool) { c.AutoEjectHosts = eject }, s.Addr(), other.Addr())
			redistest.Eventually(t, patience, "the server is down", func() bool { return p.IsDown(0) })
			if p.IsDown(1) {
				t.Error("the other server is down as well")
			}
			s.Restart()
			redistest.Eventually(t, patience, "the server is restored", func() bool { return !p.IsDown(0) })
		})
	}
}

// A server that is still loading its data accepts connections, but can't serve yet.
func TestServerThatLoadsIsNotRestored(t *testing.T) {
	redistest.CheckLeaks(t)
	const notYet = "-LOADING Redis is loading the dataset in memory\r\n"
	var loading atomic.Bool
	loading.Store(true)
	var refused atomic.Int32
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if loading.Load() { // above all SELECT, which takes the server down
			refused.Add(1)
			c.Reply(notYet)
			return
		}
		c.Reply("+OK\r\n")
	})
	p, _ := watch(t, func(c *conf.Pool) { c.RedisDB = 1 }, s.Addr())
	redistest.Eventually(t, patience, "the server is down", func() bool { return p.IsDown(0) })
	before := refused.Load()
	redistest.Eventually(t, patience, "some probes", func() bool { return refused.Load() > before+2 })
	if !p.IsDown(0) {
		t.Error("restored while it was loading")
	}
	loading.Store(false)
	redistest.Eventually(t, patience, "the server is restored", func() bool { return !p.IsDown(0) })
}

// With auto_eject_hosts a server that is loading is ejected until it has loaded, without any
// failure. One that only answers -LOADING to a client is not ejected.
func TestServerThatLoadsIsEjected(t *testing.T) {
	redistest.CheckLeaks(t)
	const notYet = "-LOADING Redis is loading the dataset in memory\r\n"
	var loading, lying atomic.Bool
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		switch {
		case loading.Load(), lying.Load() && args[0] == "GET":
			c.Reply(notYet)
		default:
			c.Reply("+PONG\r\n")
		}
	})
	other := redistest.Start(t)
	p, _ := watch(t, func(c *conf.Pool) { c.AutoEjectHosts = true }, s.Addr(), other.Addr())
	lying.Store(true)
	p.Eject(1, io.EOF) // and comes back, so that all is in motion
	redistest.Eventually(t, patience, "some replies", func() bool { return requests(s, "GET") > 5 && requests(s, "PING") > 0 })
	if p.IsDown(0) {
		t.Error("a server that is not loading is ejected since it says so")
	}
	loading.Store(true)
	redistest.Eventually(t, patience, "the server is ejected", func() bool { return p.IsDown(0) })
	loading.Store(false)
	lying.Store(false)
	redistest.Eventually(t, patience, "the server is restored", func() bool { return !p.IsDown(0) })
}

// requests returns how often a command was sent to a server.
func requests(s *fakeredis.Server, command string) (n int) {
	for _, r := range s.Requests() {
		if r.Args[0] == command {
			n++
		}
	}
	return n
}

// A server that refuses the proxy's password, even one without a password, is down until it
// accepts it: probes log in as event loops do.
func TestServerThatRefusesAuthStaysDown(t *testing.T) {
	redistest.CheckLeaks(t)
	s := redistest.Start(t)
	var restored atomic.Int32
	p, _ := watchLog(t, onMessage("server restored", &restored), func(c *conf.Pool) { c.RedisAuth = "wrong" }, s.Addr())
	redistest.Eventually(t, patience, "the server is down", func() bool { return p.IsDown(0) })
	refused := func() (n int) {
		fmt.Sscanf(after(s.Client().Info(t.Context(), "errorstats").Val(), "errorstat_ERR:count="), "%d", &n)
		return n
	}
	before := refused()
	redistest.Eventually(t, patience, "some probes", func() bool { return refused() > before+3 })
	if n := restored.Load(); n > 0 || !p.IsDown(0) {
		t.Errorf("restored %d times", n)
	}
	s.Do("CONFIG", "SET", "requirepass", "wrong")
	redistest.Eventually(t, patience, "the server is restored", func() bool { return !p.IsDown(0) })
}

func after(text, mark string) string {
	_, after, _ := strings.Cut(text, mark)
	return after
}

// A server that answers probes and nothing else is restored less and less often, and that is
// logged once.
func TestServerThatFlapsIsTriedLessAndLessOften(t *testing.T) {
	redistest.CheckLeaks(t)
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if args[0] == "PING" {
			c.Reply("+PONG\r\n")
		} else {
			c.Close()
		}
	})
	var flaps, restored atomic.Int32
	p, _ := watchLog(t, onMessage("server flaps", &flaps, "server restored", &restored), nothing, s.Addr())
	redistest.Eventually(t, patience, "the log says that the server flaps", func() bool { return flaps.Load() > 0 })
	redistest.Eventually(t, patience, "it is down", func() bool { return p.IsDown(0) })
	if n := restored.Load(); n != 3 || flaps.Load() != 1 {
		t.Errorf("%d restores when it was said to flap, want 3", n)
	}
}

// onMessage returns a log handler that counts messages which begin with a text:
// texts and counters in turn.
func onMessage(pairs ...any) slog.Handler { return counting{slog.DiscardHandler, pairs} }

type counting struct {
	slog.Handler
	pairs []any
}

func (c counting) Enabled(context.Context, slog.Level) bool { return true }
func (c counting) WithAttrs([]slog.Attr) slog.Handler       { return c }

func (c counting) Handle(_ context.Context, r slog.Record) error {
	for i := 0; i < len(c.pairs); i += 2 {
		if strings.HasPrefix(r.Message, c.pairs[i].(string)) {
			c.pairs[i+1].(*atomic.Int32).Add(1)
		}
	}
	return nil
}

// Probes come at least every half second, whether the server refuses
// connections or not: its return is noticed within a second.
func TestRefusingServerIsProbedOften(t *testing.T) {
	redistest.CheckLeaks(t)
	s := redistest.Start(t)
	s.Kill()
	p, _ := watch(t, nothing, s.Addr())
	redistest.Eventually(t, patience, "the server is down", func() bool { return p.IsDown(0) })
	var slowest time.Duration
	for range 3 {
		s.Restart()
		back := time.Now()
		redistest.Eventually(t, patience, "the server is restored", func() bool { return !p.IsDown(0) })
		slowest = max(slowest, time.Since(back))
		s.Kill()
		redistest.Eventually(t, patience, "the server is down", func() bool { return p.IsDown(0) })
	}
	if slowest > 5*time.Second {
		t.Errorf("noticed after %v", slowest)
	}
	t.Logf("noticed after %v at most", slowest)
}

func TestVersionIsLearntFromAServerThatIsUp(t *testing.T) {
	redistest.CheckLeaks(t)
	s := redistest.Start(t)
	p, prober := watch(t, nothing, redistest.FreeAddr(t), s.Addr())
	if v := p.Version(); v == "" {
		t.Error("no version before one is known")
	}
	prober.LearnVersions(p)
	want := s.Client().InfoMap(t.Context(), "server").Item("Server", "redis_version")
	redistest.Eventually(t, patience, "the version "+want, func() bool {
		server, version := p.Hello()
		return p.Version() == want && server == "redis" && version == want
	})
}

func TestVersionIsLearntWithoutTheRightToInfo(t *testing.T) {
	redistest.CheckLeaks(t)
	s := redistest.Start(t)
	want := s.Client().InfoMap(t.Context(), "server").Item("Server", "redis_version")
	s.Do("ACL", "SETUSER", "default", "-info")
	p, prober := watch(t, nothing, s.Addr())
	prober.LearnVersions(p)
	redistest.Eventually(t, patience, "the version "+want, func() bool { return p.Version() == want })
}

func TestStoppedProberLeavesNothing(t *testing.T) {
	redistest.CheckLeaks(t)
	p, prober := watch(t, nothing, redistest.FreeAddr(t))
	redistest.Eventually(t, patience, "the server is down", func() bool { return p.IsDown(0) })
	prober.LearnVersions(p)
	prober.Stop()
	prober.ServerDown(p, 0, 0) // after Stop: does nothing
}

// With restore = "flush" a server comes back empty; one that refuses to be emptied
// stays off the ring.
func TestServerComesBackEmptyIfThatIsWanted(t *testing.T) {
	for _, restore := range []string{conf.RestoreKeep, conf.RestoreFlush} {
		t.Run(restore, func(t *testing.T) {
			redistest.CheckLeaks(t)
			s, other := redistest.Start(t), redistest.Start(t)
			s.Do("SET", "k", "v1")
			var refused, restored atomic.Int32
			p, _ := watchLog(t, onMessage("server can't be emptied", &refused, "server restored", &restored), func(c *conf.Pool) { c.AutoEjectHosts, c.Restore = true, restore }, s.Addr(), other.Addr())
			p.Eject(0, io.EOF)
			redistest.Eventually(t, patience, "the server is restored", func() bool { return restored.Load() == 1 })
			if n := s.Client().DBSize(t.Context()).Val(); (n == 0) != (restore == conf.RestoreFlush) {
				t.Errorf("%d keys", n)
			}
			if restore == conf.RestoreKeep {
				return
			}
			s.Do("ACL", "SETUSER", "default", "-flushall")
			p.Eject(0, io.EOF)
			redistest.Eventually(t, patience, "the refusal is logged", func() bool { return refused.Load() > 0 })
			if !p.IsDown(0) {
				t.Error("restored though it was not emptied")
			}
			s.Do("ACL", "SETUSER", "default", "+flushall")
			redistest.Eventually(t, patience, "the server is restored", func() bool { return !p.IsDown(0) })
			if refused.Load() != 1 {
				t.Errorf("%d lines", refused.Load())
			}
		})
	}
}
