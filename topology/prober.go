// Package topology is the control plane: it watches servers through go-redis
// and tells their pool what it finds. It runs on goroutines of its own; the
// data path neither waits for it nor imports it.
package topology

import (
	"context"
	"log/slog"
	"math/rand/v2"
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
}

// NewProber returns a prober without work. It logs why a server stays down at
// debug level.
func NewProber(log *slog.Logger) *Prober {
	ctx, cancel := context.WithCancel(context.Background())
	return &Prober{log: log, ctx: ctx, cancel: cancel}
}

// Stop ends all probing and waits for it.
func (pr *Prober) Stop() {
	pr.cancel()
	pr.wg.Wait()
}

// How often a server that is down is asked, at most and at least. A pool that
// does not eject gains nothing by waiting for server_retry_timeout, since no
// key moves when the server is back.
const (
	firstProbe = 100 * time.Millisecond
	lastProbe  = 500 * time.Millisecond
)

// ServerDown is pool.Watcher's: it starts to probe.
func (pr *Prober) ServerDown(p *pool.Pool, server int) {
	if pr.ctx.Err() != nil {
		return
	}
	pr.wg.Go(func() { pr.tend(p, "probing a server", func() { pr.probe(p, server) }) })
}

// tend is tend for a goroutine that watches a pool.
func (pr *Prober) tend(p *pool.Pool, what string, work func()) {
	tend(pr.ctx, pr.log.With("pool", p.Conf().Name), what, work)
}

// probe asks until the server answers, first after server_retry_timeout if it
// was ejected.
func (pr *Prober) probe(p *pool.Pool, server int) {
	c := p.Conf()
	wait := firstProbe
	if c.AutoEjectHosts {
		wait = c.ServerRetryTimeout
	}
	for pr.sleep(wait) {
		err := pr.ping(c, server)
		if err == nil {
			p.Restore(server)
			return
		}
		pr.log.Debug("server still down", "pool", c.Name, "server", c.Servers[server].Name, "err", err)
		wait = min(max(2*wait, firstProbe), lastProbe)
		wait -= rand.N(wait/8 + 1)
	}
}

// ping asks once, over a connection of its own: after a failed one, a go-redis
// client keeps to its own rhythm, and may be a second late to see a server return.
func (pr *Prober) ping(c *conf.Pool, server int) error {
	client := NewClient(pr.ctx, c, &c.Servers[server])
	defer client.Close()
	ctx, cancel := context.WithTimeout(pr.ctx, c.ConnectTimeout)
	defer cancel()
	return client.Ping(ctx).Err()
}

// sleep reports false if the prober was stopped meanwhile.
func (pr *Prober) sleep(d time.Duration) bool { return sleep(pr.ctx, d, nil, nil) }

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

// Suspect is pool.Watcher's; it comes from pools that the Prober does not watch.
func (pr *Prober) Suspect(*pool.Pool, int, string, pool.Suspicion) {}
