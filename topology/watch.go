package topology

import (
	"context"
	"log/slog"
	"sync"

	"ringway/conf"
	"ringway/pool"
)

// Watcher is the control plane of a proxy: it watches each pool in the way that
// the pool's topology asks for. It is the pool.Watcher of them all. Make it with
// New, and give it each pool with Watch; Stop ends its goroutines.
type Watcher struct {
	*Prober // static pools, and the life of all goroutines

	mu        sync.Mutex // guards followers
	followers map[*pool.Pool]follower
}

// A follower keeps a pool informed of who its primaries are.
type follower interface {
	// run follows until ctx is done, and returns when all it started has ended.
	run(ctx context.Context)

	// suspect is told what pool.Watcher's Suspect is. It is called from any
	// goroutine and returns at once.
	suspect(shard int, addr string, why pool.Suspicion)

	// servers returns the addresses of servers that may be asked for their version,
	// the best first. It is called from any goroutine.
	servers() []string
}

// New returns a watcher without pools.
func New(log *slog.Logger) *Watcher {
	return &Watcher{Prober: NewProber(log), followers: map[*pool.Pool]follower{}}
}

// Watch begins to watch a pool, which was made with w as its watcher: to follow
// its primaries, if they may change, to learn its version of Redis, and to notice
// when the names of its servers come to mean other addresses.
func (w *Watcher) Watch(p *pool.Pool) {
	if f := w.follow(p); f != nil {
		w.wg.Go(func() {
			w.tend(p, "following the primaries", func() {
				if f == nil { // the last one panicked
					f = w.follow(p)
				}
				now := f
				f = nil
				now.run(w.ctx)
			})
		})
	}
	w.LearnVersions(p)
	if p.Conf().ResolveInterval > 0 {
		w.wg.Go(func() { w.tend(p, "resolving names", w.newResolver(p).run) })
	}
}

// follow makes a follower for the pool, which knows nothing yet; nil for a static
// pool.
func (w *Watcher) follow(p *pool.Pool) follower {
	f := w.newFollower(p)
	if f != nil {
		w.mu.Lock()
		w.followers[p] = f
		w.mu.Unlock()
	}
	return f
}

// follower returns the one that the pool has now; nil if it has none.
func (w *Watcher) follower(p *pool.Pool) follower {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.followers[p]
}

// newFollower returns what the pool's topology needs; nil for a static one.
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

// Suspect is pool.Watcher's: it has the shard's servers looked at soon.
func (w *Watcher) Suspect(p *pool.Pool, shard int, addr string, why pool.Suspicion) {
	if f := w.follower(p); f != nil {
		f.suspect(shard, addr, why)
		return
	}
	w.Prober.Suspect(p, shard, addr, why)
}

// LearnVersions asks the servers of p, on a goroutine of its own, until one has
// told its version of Redis, which clients are told in turn.
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
