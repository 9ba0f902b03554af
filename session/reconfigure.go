package session

import (
	"bytes"
	"log/slog"
	"time"

	"ringway/conf"
	"ringway/pool"
	"ringway/pubsub"
	"ringway/stats"
)

// While the proxy runs, pools get other settings (reconfigured), and pools come (AddPool) and go
// (DrainPool, RemovePool). Package server asks all loops to follow.

// SetProxy replaces the settings of the process. They hold from now on; what a client has reached
// already, such as a bound that is lower now, ends nothing.
func (w *Worker) SetProxy(proxy *conf.Proxy) {
	w.conf = proxy
	w.limits.MaxBulk, w.limits.MaxArgs, w.limits.MaxRequest = proxy.MaxBulk, proxy.MaxArgs, proxy.MaxRequest
}

// Reconfigured makes the sessions of a pool follow its configuration, after pool.Pool's Reconfigure.
func (w *Worker) Reconfigured(index int) {
	sh := w.pool(index)
	if sh == nil {
		return
	}
	c := sh.local.Conf()
	sh.poolPolicy = newPolicy(c, sh.local.DefaultShard(), nil)
	clear(sh.userPolicies)
	sh.merger = newMerger(sh.local)
	sh.big.reconfigure(c)
	if sh.slow != nil {
		sh.slow.SetThreshold(c.SlowRequest)
	}
	moved := sh.local.Rings() != sh.rings
	sh.rings = sh.local.Rings()
	sh.movesBlocked = w.loop.Now() + int64(time.Second)
	for _, s := range sh.sessions() {
		if s.followUsers() {
			continue
		}
		s.updatePolicy()
		if moved {
			s.loseWatches()
		}
		if s.conns != nil && s.conns.Outdated() && s.replies.idle() {
			s.speak(s.protocol)
		}
	}
	sh.moveBlocked()
}

// loseWatches makes EXEC abort after an earlier WATCH: its key may have another owner now, at which nobody
// watches it.
func (s *session) loseWatches() {
	for d := range s.watches() {
		d.watchLost = true
	}
}

// moveBlocked has servers unblock requests whose keys belong to another shard since a Reconfigure.
// They are sent there then (exclusive.follow), and their clients notice nothing. It is called again
// for a second, since a request that was sent just now can't be unblocked yet.
func (sh *shared) moveBlocked() {
	if sh.movesBlocked < sh.w.loop.Now() {
		return
	}
	for _, s := range sh.sessions() {
		a := s.blocking
		if a == nil || a.moves || !a.fresh || a.raw == nil || s.dedicated == nil || s.dedicated.conn.ServerID == 0 {
			continue
		}
		if shard, ok := s.ownerOf(s.local.Map(), a.raw); !ok || shard != s.dedicated.shard {
			a.moves = s.unblockAtServer()
		}
	}
}

// follow sends a blocked request to the shard that owns its keys now, when moveBlocked has had it
// unblocked. It reports false for any other reply.
func (a *exclusive) follow(reply []byte) bool {
	if !a.moves || !bytes.HasPrefix(reply, []byte("-UNBLOCKED ")) {
		return false
	}
	a.moves = false
	s := a.s
	shard, ok := s.ownerOf(s.local.Map(), a.raw)
	if !ok {
		return false
	}
	a.slot = s.dedicated.slot
	s.releaseDedicated(false)
	a.send(shard, false)
	return true
}

// Arrival is a pool that is about to be served.
type Arrival struct {
	pool          *pool.Pool
	subscriptions *pubsub.Pool
	hotKeys       *hotKeysTracking
	index         int
}

// NewArrival returns a pool that Workers will know by an index, which must be new or RemovePool's. Any
// goroutine may call it.
func NewArrival(p *pool.Pool, index int, log *slog.Logger) *Arrival {
	return &Arrival{p, pubsub.NewPool(p, log), new(hotKeysTracking), index}
}

// AddPool returns what this loop needs to serve one more pool. Join must be called before the pool has a client.
func (w *Worker) AddPool(a *Arrival) *Joining {
	sh := newShared(w, a.pool, a.subscriptions, a.index)
	sh.askedHotKeys = a.hotKeys
	return &Joining{sh}
}

// Joining is one loop's part of a pool that is about to be served.
type Joining struct{ sh *shared }

// Join makes the pool one of the worker's. all is the pool's Joining of each loop.
func (w *Worker) Join(j *Joining, all []*Joining) {
	for _, other := range all {
		j.sh.peers = append(j.sh.peers, other.sh)
	}
	for len(w.pools) <= j.sh.poolIndex {
		w.pools = append(w.pools, nil)
	}
	w.pools[j.sh.poolIndex] = j.sh
}

// DrainPool closes the sessions of a pool, each as soon as nothing of it is under way; those whose clients can be told
// to connect again, a moment after that. With force it
// closes them at once. It is called again until none is left, which it reports: a client may have come
// since, and a request that blocks may take several attempts to end.
func (w *Worker) DrainPool(index int, force bool) (done bool) {
	if w.unblocking == nil {
		w.unblocking = map[*session]int64{}
	}
	sessions := w.pool(index).sessions()
	for _, s := range sessions {
		if force {
			s.closeFor(stats.ClosedDrain)
			continue
		}
		if s.tellMoving(reconnectSoon) && s.movingUntil > w.loop.Now() {
			continue
		}
		if s.leave(); s.conn.Open() {
			s.endBlocked()
		}
	}
	return len(sessions) == 0
}

// RemovePool closes a pool's connections to servers. It must have no session left.
func (w *Worker) RemovePool(index int) {
	sh := w.pools[index]
	w.pools[index] = nil
	sh.local.Close()
	if !w.draining {
		clear(w.unblocking) // of sessions that are gone; one of another pool is asked once more
	}
}
