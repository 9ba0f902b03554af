package pool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/resp"
)

// watcher records what a pool tells of servers that are down.
type watcher struct {
	mu   sync.Mutex
	down []int
}

func (w *watcher) Suspect(*Pool, int, string, Suspicion) {}

func (w *watcher) ServerDown(_ *Pool, server int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = append(w.down, server)
}

func (w *watcher) seen() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.down)
}

// newPool returns a pool of n servers, of which nobody listens.
func newPool(t *testing.T, n int, change func(*conf.Pool)) (*Pool, *watcher) {
	t.Helper()
	c := conf.DefaultPool("alpha")
	c.Hash = "fnv1a_64"
	for i := range n {
		c.Servers = append(c.Servers, conf.Server{Name: fmt.Sprint("s", i), Network: "tcp", Addr: "127.0.0.1:1", Weight: 1})
	}
	change(&c)
	w := &watcher{}
	p, err := New(&c, &conf.Default().Proxy, w, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p, w
}

// apart makes the next failure one of its own.
func (s *server) apart() { s.counted.Store(0) }

func TestConsecutiveFailuresTakeAServerDown(t *testing.T) {
	p, w := newPool(t, 3, func(c *conf.Pool) { c.ServerFailureLimit = 3 })
	s := p.servers[1]
	fail := func(n int) {
		for range n {
			s.apart()
			s.Failed(io.EOF)
		}
	}
	fail(2)
	s.Succeeded() // so they were not consecutive
	fail(2)
	if p.IsDown(1) || p.CountDown() != 0 {
		t.Fatal("down after two failures in a row")
	}
	fail(1)
	if !p.IsDown(1) || p.CountDown() != 1 {
		t.Fatal("up after three failures in a row")
	}
	fail(5)
	if got := w.seen(); !slices.Equal(got, []int{1}) {
		t.Errorf("the watcher was told of %v, want [1]", got)
	}
}

func TestWhatAllLoopsNoticeAtOnceIsOneFailure(t *testing.T) {
	p, _ := newPool(t, 2, func(c *conf.Pool) { c.ServerFailureLimit, c.Timeout = 2, time.Hour })
	for range 16 {
		p.servers[0].Failed(io.EOF)
	}
	if p.IsDown(0) {
		t.Error("down after one event that sixteen loops noticed")
	}
	for range 16 {
		p.servers[1].Failed(pipeline.ErrTimeout)
		p.servers[1].counted.Add(-int64(time.Minute)) // as if later in the same stall
	}
	if p.IsDown(1) {
		t.Error("down after one stall of less than the timeout")
	}
}

func TestEjectionGivesTheRingOfTheOthers(t *testing.T) {
	p, _ := newPool(t, 5, func(c *conf.Pool) { c.ServerFailureLimit, c.AutoEjectHosts = 1, true })
	full := p.Map()
	p.servers[2].Failed(errors.New("refused"))
	want := p.full.Without([]bool{false, false, true, false, false})
	for i := range 5000 {
		key := []byte(fmt.Sprint("key:", i))
		if got := p.Map().Index(key); got != want.Index(key) || got == 2 {
			t.Fatalf("%s is on %d, want %d", key, got, want.Index(key))
		}
	}
	p.Restore(2)
	for i := range 5000 {
		key := []byte(fmt.Sprint("key:", i))
		if got := p.Map().Index(key); got != full.Index(key) {
			t.Fatalf("%s is on %d after the restore, want %d", key, got, full.Index(key))
		}
	}
}

func TestWithoutEjectionTheRingStays(t *testing.T) {
	p, _ := newPool(t, 5, func(c *conf.Pool) { c.ServerFailureLimit = 1 })
	before := p.Map()
	p.servers[2].Failed(errors.New("refused"))
	if !p.IsDown(2) || p.Map() != before {
		t.Error("the ring changed, or the server is up")
	}
}

func TestAClientKeepsToOneOfSeveralConnections(t *testing.T) {
	p, _ := newPool(t, 3, func(c *conf.Pool) { c.ServerConnections = 4 })
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	l := p.NewLocal(loop, nil)
	used := map[*pipeline.Conn]bool{}
	for client := range uint64(100) {
		first := l.Lanes(resp.RESP2, 0).Conn(1, client)
		for range 10 {
			if l.Lanes(resp.RESP2, 0).Conn(1, client) != first {
				t.Fatalf("client %d changed its connection", client)
			}
		}
		if l.Lanes(resp.RESP3, 0).Conn(1, client) == first {
			t.Fatal("one connection speaks both protocols")
		}
		used[first] = true
	}
	if len(used) != 4 {
		t.Errorf("%d connections to a server are used, want 4", len(used))
	}
	loop.Stop()
	loop.Run()
}
