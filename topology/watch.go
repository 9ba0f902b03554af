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
	if f := w.newFollower(p); f != nil {
		w.mu.Lock()
		w.followers[p] = f
		w.mu.Unlock()
		w.wg.Go(func() { f.run(w.ctx) })
	}
	w.LearnVersions(p)
	if p.Conf().ResolveInterval > 0 {
		w.wg.Go(w.newResolver(p).run)
	}
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
	w.mu.Lock()
	f := w.followers[p]
	w.mu.Unlock()
	if f != nil {
		f.suspect(shard, addr, why)
	}
}

// LearnVersions asks the servers of p, on a goroutine of its own, until one has
// told its version of Redis, which clients are told in turn.
func (w *Watcher) LearnVersions(p *pool.Pool) {
	w.mu.Lock()
	f := w.followers[p]
	w.mu.Unlock()
	if f == nil {
		w.Prober.LearnVersions(p)
		return
	}
	w.learnVersion(p, func() (servers []conf.Server) {
		for _, addr := range f.servers() {
			servers = append(servers, conf.Server{Network: "tcp", Addr: addr})
		}
		return servers
	})
}
