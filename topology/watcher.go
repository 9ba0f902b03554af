package topology

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"ringway/conf"
	"ringway/pool"
)

// Watcher is the control plane of a proxy: it watches each pool in the way that the pool's
// topology asks for, and is the pool.Watcher of all pools. Make it with New, give it each pool
// with Watch, and call Stop at the end. Its methods may be called from any goroutine.
type Watcher struct {
	// Static after construction.
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex // guards pools, and follower of each
	pools map[*pool.Pool]*watch
}

// watch is what watches one pool: a Prober, whose context and WaitGroup are those of all its
// goroutines, and a follower unless the pool is static.
type watch struct {
	*Prober
	follower follower
}

// A follower finds out who the primaries of one pool are and informs the pool. There is one
// implementation for each topology but static.
type follower interface {
	// run follows until ctx is done. It returns when all goroutines that it started have ended.
	run(ctx context.Context)

	// suspect takes what pool.Watcher's Suspect is given. It may be called from any goroutine,
	// event loops included, and returns at once.
	suspect(shard int, addr string, why pool.Suspicion)

	// servers returns the addresses of servers that can be asked for their version, the best
	// first. It may be called from any goroutine.
	servers() []string
}

// New returns a Watcher that watches no pool yet. Each line that it logs names the pool.
func New(log *slog.Logger) *Watcher {
	ctx, cancel := context.WithCancel(context.Background())
	return &Watcher{log: log, ctx: ctx, cancel: cancel, pools: map[*pool.Pool]*watch{}}
}

// Stop ends all goroutines, attempts to connect and reads included, and waits for them.
func (w *Watcher) Stop() {
	w.cancel()
	w.mu.Lock()
	all := slices.Collect(maps.Values(w.pools))
	w.mu.Unlock()
	for _, wt := range all {
		wt.Stop()
	}
}

// of returns what watches a pool. A server may fail before Watch.
func (w *Watcher) of(p *pool.Pool) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	wt := w.pools[p]
	if wt == nil {
		wt = &watch{Prober: newProber(named(w.ctx, p), w.log)}
		w.pools[p] = wt
	}
	return wt
}

// Watch begins to watch p, which was made with w as its watcher: it follows the primaries if
// they may change, learns the servers' version of Redis and their commands, and with
// resolve_interval resolves their host names again and again. It returns at once.
func (w *Watcher) Watch(p *pool.Pool) {
	wt := w.of(p)
	if f := w.follow(p, wt); f != nil {
		wt.wg.Go(func() {
			wt.supervise(p, "following the primaries", func() {
				if f == nil { // the previous one panicked; its state may be inconsistent
					f = w.follow(p, wt)
				}
				current := f
				f = nil
				current.run(wt.ctx)
			})
		})
	}
	w.LearnVersions(p)
	wt.wg.Go(func() { wt.supervise(p, "resolving names", wt.newResolver(p).run) })
}

// Unwatch ends Watch, and returns when all that watched p has ended. Servers that are down stay down.
func (w *Watcher) Unwatch(p *pool.Pool) {
	w.of(p).Stop()
	w.mu.Lock()
	delete(w.pools, p)
	w.mu.Unlock()
}

// Reconfigured makes what watches p follow its configuration, after pool.Pool's Reconfigure.
func (w *Watcher) Reconfigured(p *pool.Pool) {
	if p.Follows() { // else each look at the configuration is a new one
		w.Unwatch(p)
		w.Watch(p)
	}
}

// follow makes and registers a follower for the pool, which knows nothing yet. It returns nil
// for a static pool.
func (w *Watcher) follow(p *pool.Pool, wt *watch) follower {
	f := w.newFollower(p)
	w.mu.Lock()
	wt.follower = f
	w.mu.Unlock()
	return f
}

// follower returns the pool's current follower, nil for a static pool.
func (w *Watcher) follower(p *pool.Pool) follower {
	wt := w.of(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	return wt.follower
}

// newFollower returns the follower that the pool's topology needs, nil for a static one.
func (w *Watcher) newFollower(p *pool.Pool) follower {
	switch p.Conf().Topology {
	case conf.Replicated:
		return newReplicatedFollower(p.Conf(), p, w.log)
	case conf.Sentinel:
		return newSentinelFollower(p.Conf(), p, w.log)
	case conf.Cluster:
		return newClusterFollower(p, w.log)
	}
	return nil
}

// Suspect implements pool.Watcher: it has the shard's servers asked soon. Event loops call it,
// as often as they meet an error; it returns at once.
func (w *Watcher) Suspect(p *pool.Pool, shard int, addr string, why pool.Suspicion) {
	if f := w.follower(p); f != nil {
		f.suspect(shard, addr, why)
		return
	}
	w.of(p).Suspect(p, shard, addr, why)
}

// ServerDown implements pool.Watcher: the server is probed until it answers.
func (w *Watcher) ServerDown(p *pool.Pool, server, relapses int) {
	w.of(p).ServerDown(p, server, relapses)
}

// LearnVersions asks the servers of p for their version of Redis, on a goroutine of its own,
// until one has answered. Clients are told that version. After that it keeps asking for the
// servers' commands.
func (w *Watcher) LearnVersions(p *pool.Pool) {
	wt := w.of(p)
	if w.follower(p) == nil {
		wt.LearnVersions(p)
		return
	}
	wt.learnVersion(p, func() (servers []conf.Server) {
		for _, addr := range w.follower(p).servers() {
			servers = append(servers, conf.Server{Network: "tcp", Addr: addr})
		}
		return servers
	})
}
