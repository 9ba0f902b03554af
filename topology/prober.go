// Package topology is the control plane: it watches servers through go-redis
// and tells their pool what it finds. It runs on goroutines of its own; the
// data path neither waits for it nor imports it.
package topology

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"ringway/conf"
	"ringway/pool"
)

// Prober probes servers that are down and restores those that answer. It is a
// pool.Watcher. Make it with NewProber; Stop ends its goroutines.
type Prober struct {
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex          // guards looked
	looked map[poolServer]bool // servers that are looked at, for they say that they are loading
}

// place is a server of a static pool.
type poolServer struct {
	pool   *pool.Pool
	server int
}

// NewProber returns a prober without work. It logs why a server stays down at
// debug level.
func NewProber(log *slog.Logger) *Prober {
	ctx, cancel := context.WithCancel(context.Background())
	return &Prober{log: log, ctx: ctx, cancel: cancel, looked: map[poolServer]bool{}}
}

// Stop ends all probing and waits for it.
func (pr *Prober) Stop() {
	pr.cancel()
	pr.wg.Wait()
}

// sleep reports false if the prober was stopped meanwhile.
func (pr *Prober) sleep(d time.Duration) bool { return sleep(pr.ctx, d, nil, nil) }

// tend is tend for a goroutine that watches a pool.
func (pr *Prober) tend(p *pool.Pool, what string, work func()) {
	tend(pr.ctx, pr.log.With("pool", p.Conf().Name), what, work)
}

// LearnVersions asks the servers of p, on a goroutine of its own, until one has
// told its version of Redis, which clients are told in turn.
func (pr *Prober) LearnVersions(p *pool.Pool) {
	pr.learnVersion(p, func() []conf.Server { return p.Conf().Servers })
}

// learnVersion asks the servers that there are, again and again.
func (pr *Prober) learnVersion(p *pool.Pool, servers func() []conf.Server) {
	pr.wg.Go(func() {
		pr.tend(p, "learning a pool's version", func() {
			if pr.findVersion(p, servers) {
				pr.learnCommands(p, servers)
			}
		})
	})
}

// findVersion asks until a server has told its version. It reports false if the
// prober was stopped before that.
func (pr *Prober) findVersion(p *pool.Pool, servers func() []conf.Server) bool {
	wait := firstProbe
	for {
		for _, s := range servers() {
			if v := pr.version(p.Conf(), &s); v != "" {
				p.SetVersion(v)
				return true
			}
		}
		if !pr.sleep(wait) {
			return false
		}
		wait = min(2*wait, 10*time.Second)
	}
}

func (pr *Prober) version(c *conf.Pool, s *conf.Server) string {
	client := NewClient(pr.ctx, c, s)
	defer client.Close()
	ctx, cancel := context.WithTimeout(pr.ctx, c.ConnectTimeout)
	defer cancel()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
			return v
		}
	}
	return ""
}
