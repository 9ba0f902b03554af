package pool

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"ringway/conf"
	"ringway/hashring"
	"ringway/pipeline"
)

// A pool takes another configuration while it runs: Reconfigure. What the loops read at each use
// (Conf) is replaced at once. A static pool's servers come and go in three steps, between which
// every loop has followed:
//
//  1. A new server gets a shard, with an index behind all others. Nothing is sent there yet, but
//     subscriptions are made, and the servers' answers waited for.
//  2. The ring is replaced. From now on requests go by the new one; those under way are answered
//     where they were sent.
//  3. A server that is no longer on the ring loses its connections, once nothing is under way there.
//
// A shard's index is never given to another server, as in a Cluster, since subscriptions, cursors of
// SCAN and requests under way know shards by their index. A server that comes back (the same name
// and address) gets its old shard.

// enterWithin is how long a Reconfigure waits for subscriptions: a server that hangs doesn't hold it up.
const enterWithin = time.Second

// leaveWithin is how long requests that are under way at a server may take once it has left the
// ring. Blocked ones are told earlier (retireLent).
const leaveWithin = 10 * time.Second

// CanReconfigure returns why Reconfigure can't make the pool work by c: then another Pool has to
// take its place. It returns nil if it can.
func (p *Pool) CanReconfigure(c *conf.Pool) error {
	was := p.Conf()
	switch {
	case was.Topology != c.Topology:
		return fmt.Errorf("topology %s becomes %s", was.Topology, c.Topology)
	case len(was.Shards) != len(c.Shards):
		return errors.New("the number of shards changes")
	}
	for i := range c.Shards {
		if was.Shards[i].Name != c.Shards[i].Name {
			return fmt.Errorf("shard %s is new", c.Shards[i].Name)
		}
	}
	if !p.follows && p.shardsWith(c) > maxShards {
		return fmt.Errorf("more than %d servers have come and gone", maxShards)
	}
	return nil
}

// shardsWith returns how many shards there would be with the servers of c.
func (p *Pool) shardsWith(c *conf.Pool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.shards)
	for _, s := range c.Servers {
		if p.shardFor(s) == nil {
			n++
		}
	}
	return n
}

// newRing returns the ring of a configuration, or nil if it is the same as before.
func (p *Pool) newRing(was, c *conf.Pool) (*hashring.Ring, error) {
	if p.slotted || was.AutoEjectHosts == c.AutoEjectHosts && reflect.DeepEqual(was.Ring(), c.Ring()) && reflect.DeepEqual(was.Servers, c.Servers) {
		return nil, nil
	}
	return hashring.New(c.Ring())
}

// Reconfigure makes the pool work by another configuration, for which CanReconfigure has returned
// nil. The caller must not change c and proxy afterwards, and calls Reconfigure from one goroutine at
// a time, not from a loop. It returns when new requests of all loops go by the new configuration, or
// ctx is done.
//
// Connections to servers that stay are kept, and get new timeouts and bounds. They are made anew,
// without a failed request, if TLS or the user changes. A new password is used by new
// connections: servers keep those that have given an earlier one.
//
// If it returns a function, some servers have left the ring: the function closes the connections to
// them when nothing is under way there any more. It returns then, or when its context is done. The
// error is hashring.New's; a validated configuration causes none, and nothing has changed then.
func (p *Pool) Reconfigure(ctx context.Context, c *conf.Pool, proxy *conf.Proxy) (leave func(context.Context), err error) {
	was := p.Conf()
	ring, err := p.newRing(was, c)
	if err != nil {
		return nil, err
	}
	p.limits.Reconfigure(c.LimitSettings())
	renew := was.RedisUser != c.RedisUser || !sameTLS(was.ServerTLS, c.ServerTLS)

	p.mu.Lock()
	p.settings.Store(newSettings(c, proxy))
	for _, sh := range p.shards {
		sh.serving.forgetConfigs()
	}
	for _, s := range p.byAddr {
		s.forgetConfigs()
	}
	var order []int
	if !p.follows {
		for _, s := range c.Servers {
			order = append(order, p.enter(s).index)
		}
	}
	p.mu.Unlock()
	p.awaitLoops(ctx, func(l *Local) { l.reconfigured(renew) })
	if ring == nil {
		return nil, nil
	}

	p.awaitSubscriptions(ctx)
	leaving, epoch := p.replaceRing(ring, order)
	p.awaitLoops(ctx, func(l *Local) { l.changes.MapChanged() })
	if len(leaving) == 0 {
		return nil, nil
	}
	return func(ctx context.Context) { p.leave(ctx, leaving, epoch) }, nil
}

// awaitSubscriptions returns when all loops have subscribed at new servers too, else messages that are published
// there first would be missed; but after enterWithin at the latest.
func (p *Pool) awaitSubscriptions(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, enterWithin)
	defer cancel()
	p.awaitEach(ctx, func(l *Local, done func()) { l.changes.AfterSubscribing(done) })
}

// enter returns the shard of a server that the configuration has now. The caller holds p.mu.
func (p *Pool) enter(s conf.Server) *shard {
	sh := p.shardFor(s)
	if sh == nil {
		return p.addServer(s)
	}
	sh.left = 0
	return sh
}

// shardFor returns the shard of a server, which may have left; nil if it is new. The caller holds
// p.mu.
func (p *Pool) shardFor(s conf.Server) *shard {
	for _, sh := range p.shards {
		if known := sh.serving.primary; sh.name == s.Name && known.network == s.Network && known.addr == s.Addr {
			return sh
		}
	}
	return nil
}

// addServer adds the shard of a static pool's server. The caller holds p.mu, or is New.
func (p *Pool) addServer(c conf.Server) *shard {
	s := &server{pool: p, index: len(p.shards), name: c.Name, title: "server " + c.Name, network: c.Network, addr: c.Addr}
	sh := &shard{index: s.index, name: c.Name, serving: serving{primary: s}}
	p.shards = append(p.shards, sh)
	p.down = append(p.down, false)
	p.shardCount.Store(int32(len(p.shards)))
	return sh
}

// replaceRing installs a Map with another ring. order is the shard of each of its servers; nil where
// primaries are found out. It returns the shards that have left.
func (p *Pool) replaceRing(ring *hashring.Ring, order []int) (leaving []int, epoch int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch++
	p.fullRing = ring
	if p.follows {
		p.installMap(ring)
		return nil, p.epoch
	}
	stays := make([]bool, len(p.shards))
	for _, shard := range order {
		stays[shard] = true
	}
	for i, sh := range p.shards {
		if !stays[i] && !sh.leaving() {
			sh.left = p.epoch
			p.forgetOutage(sh)
			leaving = append(leaving, i)
		}
	}
	p.order = order
	if p.Conf().AutoEjectHosts {
		ring = ring.Without(p.missing())
	}
	p.installMap(ring)
	return leaving, p.epoch
}

// forgetOutage forgets that a server which leaves is down: if it comes back it begins anew. The
// caller holds p.mu.
func (p *Pool) forgetOutage(sh *shard) {
	s := sh.serving.primary
	p.down[sh.index], s.restoring, s.outage = false, false, nil
	s.byHand.Store(false)
	s.ejecting.Store(false)
	s.failures.Store(0)
	s.failureAt.Store(0)
	s.attempts.Reset()
}

// leave closes the connections to servers that have left the ring in the given Reconfigure, when
// nothing is under way there any more.
func (p *Pool) leave(ctx context.Context, shards []int, epoch int) {
	within, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	p.awaitEach(within, func(l *Local, done func()) { l.afterReplies(shards, done) })
	if ctx.Err() != nil {
		return // the process ends
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, shard := range shards {
		sh := p.shards[shard]
		if sh.left != epoch {
			continue // it is back
		}
		p.log.Info("server removed", "server", sh.name, "addr", sh.serving.primary.addr)
		for _, l := range p.locals {
			l.loop.Post(func() { l.remove(shard) })
		}
	}
}

// Removed reports whether the configuration no longer has a static pool's server, given by its
// shard. Any goroutine may call it.
func (p *Pool) Removed(shard int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shards[shard].leaving()
}

// ServerOf returns a static pool's server, given by its shard, as it is configured. Any goroutine may call it.
func (p *Pool) ServerOf(shard int) conf.Server {
	s := p.staticServer(shard)
	return conf.Server{Name: s.name, Network: s.network, Addr: s.addr, Weight: 1}
}

// DefaultShard returns the shard for requests that concern none in particular: that of default_server,
// else the first one on the ring. Any goroutine may call it.
func (p *Pool) DefaultShard() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	name, ring := p.Conf().DefaultServer, p.order
	if p.follows {
		ring = nil
		for i := range p.shards {
			ring = append(ring, i)
		}
	}
	for _, shard := range ring {
		if p.shards[shard].name == name {
			return shard
		}
	}
	if len(ring) == 0 {
		return 0
	}
	return ring[0]
}

// Rings returns how often Reconfigure has replaced the ring. Any goroutine may call it.
func (p *Pool) Rings() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epoch
}

// ShardName returns the name of a shard: that of a static pool's server. Any goroutine may call it.
func (p *Pool) ShardName(shard int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shards[shard].name
}

// awaitLoops runs fn on each loop, and returns when all have run it or ctx is done.
func (p *Pool) awaitLoops(ctx context.Context, fn func(l *Local)) {
	p.awaitEach(ctx, func(l *Local, done func()) {
		fn(l)
		done()
	})
}

// awaitEach runs fn on each loop, and returns when each has called done or ctx is done.
func (p *Pool) awaitEach(ctx context.Context, fn func(l *Local, done func())) {
	p.mu.Lock()
	var left atomic.Int32
	left.Store(int32(len(p.locals)))
	all := make(chan struct{})
	for _, l := range p.locals {
		l.loop.Post(func() {
			fn(l, func() {
				if left.Add(-1) == 0 {
					close(all)
				}
			})
		})
	}
	n := len(p.locals)
	p.mu.Unlock()
	if n == 0 {
		return
	}
	select {
	case <-all:
	case <-ctx.Done():
	}
}

func sameTLS(a, b *conf.TLS) bool { return a == b || a != nil && b != nil && *a == *b }

// forgetConfigs makes the next connections get a configuration from the settings of now.
func (s *server) forgetConfigs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configs = nil
}

func (now serving) forgetConfigs() {
	if now.primary != nil {
		now.primary.forgetConfigs()
	}
}

// reconfigured makes this loop work by the settings of now. With renew its connections to servers are
// made anew.
func (l *Local) reconfigured(renew bool) {
	l.grow()
	for _, cs := range l.connSets {
		if l.follows {
			cs.setNoReplica()
		}
	}
	l.takeBack()
	l.eachConnAs(func(s *server, k configKey, c *pipeline.Conn) {
		if s == nil {
			return
		}
		c.SetConfig(s.config(k.kind, k.use))
		if renew {
			c.Renew()
		}
	})
	l.closeLogin()
	l.closeSpares(func(dedicatedKey, spare) bool { return renew })
	l.changes.Reconfigured(renew)
}

// takeBack opens the connections to servers that have come back: also of one that was down when it left,
// which begins anew, and whose connections were not closed yet.
func (l *Local) takeBack() {
	if l.follows {
		return
	}
	for _, sh := range l.shards {
		if l.Pool.Removed(sh.index) || l.IsDown(sh.index) {
			continue
		}
		l.restore(sh.index)
		if sh.removed {
			sh.removed = false
			l.changes.PrimaryChanged(sh.index)
		}
	}
}

// afterReplies calls done when nothing that has been sent to the shards' servers is under way any
// more. Requests that block there end within lentDrainTime.
func (l *Local) afterReplies(shards []int, done func()) {
	left := 1
	end := func() {
		if left--; left == 0 {
			done()
		}
	}
	for _, shard := range shards {
		for _, cs := range l.connSets {
			for _, c := range cs.connsTo(shard) {
				left++
				c.AfterReplies(end)
			}
		}
		for c, key := range l.lent {
			if key.shard == shard {
				left++
				c.AfterReplies(end) // the shared connections are needed until then, to unblock what blocks
				l.retireLent(c, key)
			}
		}
		l.closeSpares(func(k dedicatedKey, _ spare) bool { return k.shard == shard })
	}
	end()
}

// remove closes the connections to a server that has left the ring.
func (l *Local) remove(shard int) {
	sh := l.shardAt(shard)
	if sh.removed || !l.Pool.Removed(shard) {
		return
	}
	sh.removed = true
	l.changes.MapChanged() // first, so that no subscription is left there
	l.changes.PrimaryChanged(shard)
	for _, c := range l.connsOf(shard) {
		c.Suspend()
	}
	l.closeSpares(func(k dedicatedKey, _ spare) bool { return k.shard == shard })
}
