package topology

import (
	"context"
	"log/slog"
	"sync"

	"ringway/conf"
	"ringway/pool"
)

// Watcher is the control plane of a proxy: it watches each pool in the way that the pool's
// topology asks for, and is the pool.Watcher of all pools. Make it with New, give it each pool
// with Watch, and call Stop at the end. Its methods may be called from any goroutine.
type Watcher struct {
	*Prober // serves static pools; its context and WaitGroup are those of all goroutines

	mu        sync.Mutex // guards followers
	followers map[*pool.Pool]follower
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
	return &Watcher{Prober: NewProber(log), followers: map[*pool.Pool]follower{}}
}

// Watch begins to watch p, which was made with w as its watcher: it follows the primaries if
// they may change, learns the servers' version of Redis and their commands, and with
// resolve_interval resolves their host names again and again. It returns at once.
func (w *Watcher) Watch(p *pool.Pool) {
	if f := w.follow(p); f != nil {
		w.wg.Go(func() {
			w.supervise(p, "following the primaries", func() {
				if f == nil { // the previous one panicked; its state may be inconsistent
					f = w.follow(p)
				}
				current := f
				f = nil
				current.run(w.ctx)
			})
		})
	}
	w.LearnVersions(p)
	if p.Conf().ResolveInterval > 0 {
		w.wg.Go(func() { w.supervise(p, "resolving names", w.newResolver(p).run) })
	}
}

// follow makes and registers a follower for the pool, which knows nothing yet. It returns nil
// for a static pool.
func (w *Watcher) follow(p *pool.Pool) follower {
	f := w.newFollower(p)
	if f != nil {
		w.mu.Lock()
		w.followers[p] = f
		w.mu.Unlock()
	}
	return f
}

// follower returns the pool's current follower, nil for a static pool.
func (w *Watcher) follower(p *pool.Pool) follower {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.followers[p]
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
	w.Prober.Suspect(p, shard, addr, why)
}

// LearnVersions asks the servers of p for their version of Redis, on a goroutine of its own,
// until one has answered. Clients are told that version. After that it keeps asking for the
// servers' commands.
func (w *Watcher) LearnVersions(p *pool.Pool) {
	if w.follower(p) == nil {
		w.Prober.LearnVersions(p)
		return
	}
	w.learnVersion(p, func() (servers []conf.Server) {
		for _, addr := range w.follower(p).servers() {
			servers = append(servers, conf.Server{Network: "tcp", Addr: addr})
		}
		return servers
	})
}
