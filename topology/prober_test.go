package topology_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
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
	cfg := conf.Default()
	c := conf.DefaultPool("alpha")
	c.ConnectTimeout, c.ServerFailureLimit, c.ServerRetryTimeout = 5*time.Second, 1, 10*time.Millisecond
	for i, addr := range addrs {
		c.Servers = append(c.Servers, conf.Server{Name: fmt.Sprint("s", i), Network: "tcp", Addr: addr, Weight: 1})
	}
	adjust(&c)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
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
			keepConnected(loop, l.Lanes(resp.RESP2, p.Conf().RedisDB).Conn(i, 0))
		}
	})
	return p, prober
}

// keepConnected asks for a connection again and again, as requests would.
func keepConnected(loop *eventloop.Loop, c *pipeline.Conn) {
	c.Connect()
	again := loop.NewTimer(func() { keepConnected(loop, c) })
	again.After(5 * time.Millisecond)
}

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

// A server that is still loading its data accepts connections but is no server
// yet.
func TestServerThatLoadsIsNotRestored(t *testing.T) {
	redistest.CheckLeaks(t)
	const notYet = "-LOADING Redis is loading the dataset in memory\r\n"
	var loading atomic.Bool
	loading.Store(true)
	var pings atomic.Int32
	var probes sync.Map // the numbers of go-redis's connections, which begin with HELLO
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		_, probe := probes.Load(c.Number())
		switch command := strings.ToLower(args[0]); {
		case command == "hello":
			probes.Store(c.Number(), true)
			c.Reply("-ERR unknown command 'HELLO'\r\n")
		case command == "ping":
			pings.Add(1)
			if loading.Load() {
				c.Reply(notYet)
				return
			}
			c.Reply("+PONG\r\n")
		case !probe && loading.Load():
			c.Reply(notYet) // to SELECT, which takes the server down
		default:
			c.Reply("+OK\r\n")
		}
	})
	p, _ := watch(t, func(c *conf.Pool) { c.RedisDB = 1 }, s.Addr())
	redistest.Eventually(t, patience, "the server is down", func() bool { return p.IsDown(0) })
	redistest.Eventually(t, patience, "some probes", func() bool { return pings.Load() > 2 })
	if !p.IsDown(0) {
		t.Error("restored while it was loading")
	}
	loading.Store(false)
	redistest.Eventually(t, patience, "the server is restored", func() bool { return !p.IsDown(0) })
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
	redistest.Eventually(t, patience, "the version "+want, func() bool { return p.Version() == want })
}

func TestStoppedProberLeavesNothing(t *testing.T) {
	redistest.CheckLeaks(t)
	p, prober := watch(t, nothing, redistest.FreeAddr(t))
	redistest.Eventually(t, patience, "the server is down", func() bool { return p.IsDown(0) })
	prober.LearnVersions(p)
	prober.Stop()
	prober.ServerDown(p, 0) // after Stop: does nothing
}
