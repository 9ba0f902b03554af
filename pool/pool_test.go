package pool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/internal/redistest"
	"ringway/pipeline"
	"ringway/resp"
)

// watcher records which servers a pool reports as down.
type watcher struct {
	mu   sync.Mutex
	down []int
}

func (w *watcher) Suspect(*Pool, int, string, Suspicion) {}

func (w *watcher) ServerDown(_ *Pool, server, _ int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = append(w.down, server)
}

func (w *watcher) seen() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.down)
}

// newPool returns a pool of n servers, at whose address nothing listens.
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

// eventually waits for what another goroutine does.
func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	redistest.Eventually(t, 30*time.Second, "what another goroutine does", cond)
}

// apart makes the next failure count separately.
func (s *server) apart() { s.failureAt.Store(0) }

func TestConsecutiveFailuresTakeAServerDown(t *testing.T) {
	p, w := newPool(t, 3, func(c *conf.Pool) { c.ServerFailureLimit = 3 })
	s := p.staticServer(1)
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
		t.Errorf("the watcher got %v, want [1]", got)
	}
}

func TestWhatAllLoopsNoticeAtOnceIsOneFailure(t *testing.T) {
	p, _ := newPool(t, 2, func(c *conf.Pool) { c.ServerFailureLimit, c.Timeout = 2, time.Hour })
	for range 16 {
		p.staticServer(0).Failed(io.EOF)
	}
	if p.IsDown(0) {
		t.Error("down after one event that sixteen loops noticed")
	}
	for range 16 {
		p.staticServer(1).Failed(pipeline.ErrTimeout)
		p.staticServer(1).failureAt.Add(-int64(time.Minute)) // as if later in the same stall
	}
	if p.IsDown(1) {
		t.Error("down after one stall of less than the timeout")
	}
}

func TestEjectionGivesTheRingOfTheOthers(t *testing.T) {
	p, _ := newPool(t, 5, func(c *conf.Pool) { c.ServerFailureLimit, c.AutoEjectHosts = 1, true })
	full := p.Map()
	if !p.staticServer(2).Failed(errors.New("refused")) {
		t.Error("requests that were not sent do not wait for the new ring")
	}
	eventually(t, func() bool { return p.IsDown(2) })
	eventually(t, func() bool { return !p.staticServer(2).ejecting.Load() })
	want := p.fullRing.Without([]bool{false, false, true, false, false})
	for i := range 5000 {
		key := []byte(fmt.Sprint("key:", i))
		if got := p.Map().Index(key); got != want.Index(key) || got == 2 {
			t.Fatalf("%s is on %d, want %d", key, got, want.Index(key))
		}
	}
	p.Restore(2)
	eventually(t, func() bool { return !p.IsDown(2) })
	for i := range 5000 {
		key := []byte(fmt.Sprint("key:", i))
		if got := p.Map().Index(key); got != full.Index(key) {
			t.Fatalf("%s is on %d after the restore, want %d", key, got, full.Index(key))
		}
	}
}

func TestWithoutEjectionTheRingStays(t *testing.T) {
	p, _ := newPool(t, 5, func(c *conf.Pool) { c.ServerFailureLimit = 1 })
	before := p.Map().Ring()
	p.staticServer(2).Failed(errors.New("refused"))
	if !p.IsDown(2) || p.Map().Ring() != before {
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
		first := l.ConnSet(resp.RESP2, 0).Conn(1, client)
		for range 10 {
			if l.ConnSet(resp.RESP2, 0).Conn(1, client) != first {
				t.Fatalf("client %d changed its connection", client)
			}
		}
		if l.ConnSet(resp.RESP3, 0).Conn(1, client) == first {
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

// Servers that fail while a ring is being made are left out together.
func TestEjectionsOfAMomentMakeOneRing(t *testing.T) {
	p, w := newPool(t, 40, func(c *conf.Pool) { c.ServerFailureLimit, c.AutoEjectHosts = 1, true })
	down := make([]bool, 40)
	for i := range 20 {
		down[i] = true
		p.staticServer(i).Failed(errors.New("refused"))
	}
	eventually(t, func() bool { return len(w.seen()) == 20 })
	want := p.fullRing.Without(down)
	for i := range 1000 {
		key := []byte(fmt.Sprint("key:", i))
		if got := p.Map().Index(key); got != want.Index(key) {
			t.Fatalf("%s is on %d, want %d", key, got, want.Index(key))
		}
	}
	if p.CountDown() != 20 {
		t.Errorf("%d are down", p.CountDown())
	}
}

// What a server's errors say about the pool's settings is logged once.
func TestErrorsAboutSettingsAreLoggedOnce(t *testing.T) {
	p, _ := newPool(t, 1, func(*conf.Pool) {})
	var text bytes.Buffer
	p.log = slog.New(slog.NewTextHandler(&text, nil))
	for range 3 {
		for _, reply := range []string{
			"-MOVED 1 a:1\r\n", "-CROSSSLOT Keys\r\n", "-READONLY You\r\n", "-NOAUTH Authentication required.\r\n",
			"-ERR x\r\n", "-\r\n", "-LOADING Redis\r\n", "-WRONGTYPE Operation\r\n",
		} {
			p.staticServer(0).Complained([]byte(reply))
		}
	}
	if n := strings.Count(text.String(), "\n"); n != 3 {
		t.Errorf("%d lines, want 3:\n%s", n, &text)
	}
	for _, want := range []string{`topology = \"cluster`, "is a replica", "set redis_auth"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in:\n%s", want, &text)
		}
	}
}
