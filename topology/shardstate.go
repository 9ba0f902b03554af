package topology

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"ringway/conf"
	"ringway/pool"
)

// poolUpdater is what followers of replicated and Sentinel pools tell their findings to: a
// *pool.Pool, or a recorder in tests. Its methods return at once; the pool passes on to its
// event loops what concerns them.
type poolUpdater interface {
	SetView(shard int, v pool.View)
	SetReplicas(shard int, replicas []pool.Member)
	SetReplicaAcks(shard, replicas int)
	Hold(shard int)
	HoldReplies(shard int)
	GiveUpReplies(shard int)
	Release(shard int)
	Confirm(shard int)
	SetLag(addr string, lag time.Duration)
}

// A mailbox runs functions one after the other on the goroutine of a follower. It is how all
// other goroutines reach the follower's state.
type mailbox struct {
	ctx   context.Context
	posts chan func()
}

// post hands over fn, and waits while the follower is busy. If the follower has ended, fn
// never runs.
func (m mailbox) post(fn func()) {
	select {
	case m.posts <- fn:
	case <-m.ctx.Done():
	}
}

// shardState is what a follower knows of one shard, and what it has told the pool of it. It
// belongs to the follower's goroutine; replicatedShard and sentinelShard add what their
// deciders need.
//
// Writes are held (held) while the primary is about to change: what the old one acknowledged
// then would be lost. publish, release or failover_wait end that.
type shardState struct {
	// Static after construction.
	conf     *conf.Pool
	index    int
	name     string
	pool     poolUpdater
	log      *slog.Logger
	interval *pollInterval // of all servers of the shard

	// What was observed.
	servers map[string]*server // by address: those that are polled
	offsets offsetHistory      // of the current primary

	// What the pool was told.
	primary           string // who serves; "" for nobody
	refuse            string // the error that writes get; "" if they are served
	held              bool   // writes wait
	heldAt            time.Time
	publishedReplicas []pool.Member
	publishedLatency  time.Duration // of the primary
}

// A server is one that is polled since it may belong to a shard.
type server struct {
	poller
	ctx          context.Context // ends when the server is no longer polled
	replicaRunID string          // of the process that was last observed as a replica; "" for none
	linkedAt     time.Time       // when it was last observed as a replica with a connection to its primary
	loggedHint   string          // what the log already has about a wrong setting
	last         observation     // the zero value before the first poll
	health                       // in its current role: as primary, or as a replica to read from
}

func newShardState(c *conf.Pool, index int, updater poolUpdater, log *slog.Logger) *shardState {
	return &shardState{
		conf: c, index: index, name: c.Shards[index].Name, pool: updater,
		log: log.With("shard", c.Shards[index].Name), interval: newPollInterval(c.ProbeInterval),
		servers: map[string]*server{},
	}
}

// poll returns the server with the address addr, which is polled from now on. Each observation
// is recorded and then given to report, on the follower's goroutine. Observations that were
// under way when the server was dropped are ignored.
func (sh *shardState) poll(addr string, m mailbox, wg *sync.WaitGroup, report func(*server)) *server {
	if s := sh.servers[addr]; s != nil {
		return s
	}
	ctx, cancel := context.WithCancel(m.ctx)
	s := &server{ctx: ctx, poller: poller{conf: sh.conf, addr: addr, interval: sh.interval, wake: make(chan struct{}, 1), cancel: cancel}}
	sh.servers[addr] = s
	onPoll := func(o observation) {
		m.post(func() {
			if sh.servers[addr] == s {
				sh.record(s, o)
				report(s)
			}
		})
	}
	wg.Go(func() { supervise(ctx, sh.log, "polling "+addr, func() { s.run(ctx, onPoll) }) })
	return s
}

// pollOnly ends the polling of all servers but those in keep.
func (sh *shardState) pollOnly(keep []string) {
	for addr, s := range sh.servers {
		if !slices.Contains(keep, addr) {
			s.cancel()
			delete(sh.servers, addr)
		}
	}
}

// record takes an observation: it logs a setting that is wrong, remembers the primary's
// offset, and judges the server's health.
func (sh *shardState) record(s *server, o observation) {
	s.last = o
	if o.isReplica() && o.linkUp {
		s.linkedAt = o.askedAt
	}
	if h := hint(o.err, asServer); h != s.loggedHint && (h != "" || o.err == nil) {
		s.loggedHint = h
		if h != "" {
			sh.log.Warn("server can't be asked: "+h, "addr", s.addr, "err", o.err)
		}
	}
	if s.addr == sh.primary {
		if o.isPrimary() {
			sh.pool.Confirm(sh.index)
		}
		sh.offsets.add(&o, 2*max(sh.conf.MaxReplicaLag, sh.conf.ProbeInterval))
	}
	if sh.primary != "" {
		sh.judge(s)
	}
}

// judge updates a server's health by the last observation of it, and logs changes. Only in
// good health a replica is read from. A primary is never replaced for its health: that is for
// the deciders.
func (sh *shardState) judge(s *server) {
	what, fault := "replica", ""
	if s.addr == sh.primary {
		what, fault = "primary", primaryFault(&s.last)
	} else {
		var primary observation
		if p := sh.servers[sh.primary]; p != nil {
			primary = p.last
		}
		lag := sh.offsets.lag(&s.last)
		fault = replicaFault(&s.last, &primary, lag, sh.conf.MaxReplicaLag)
		sh.pool.SetLag(s.addr, shownLag(&s.last, lag))
	}
	first := !s.judged
	changed, after := s.health.update(&s.last, fault)
	level := slog.LevelWarn
	if sh.held {
		level = slog.LevelDebug // the roles are changing, and all servers will be judged anew
	}
	switch {
	case !changed || first && fault == "":
	case fault != "":
		sh.log.Log(context.Background(), level, what+" unhealthy", "addr", s.addr, "reason", fault)
	case !first:
		sh.log.Info(what+" healthy again", "addr", s.addr, "after", after.Round(time.Millisecond))
	}
}

// publish tells the pool who serves the shard: the address of the primary, or "" for nobody.
// With refuse, writes are answered with that error. It ends a hold.
func (sh *shardState) publish(primary, refuse string) {
	if primary != sh.primary && primary != "" {
		sh.changePrimary(primary)
	}
	sh.primary, sh.refuse, sh.held = primary, refuse, false
	v := pool.View{Refuse: refuse, Replicas: sh.replicas()}
	if primary != "" {
		v.Primary = sh.member(primary)
	}
	sh.publishedReplicas, sh.publishedLatency = v.Replicas, v.Primary.Latency
	sh.pool.SetView(sh.index, v)
}

// changePrimary makes another server the primary and judges all servers anew: health depends
// on the role, and how far replicas are behind on the primary.
func (sh *shardState) changePrimary(primary string) {
	sh.primary, sh.offsets = primary, offsetHistory{}
	for _, s := range sh.servers {
		s.health = health{latency: s.latency}
		if !s.last.askedAt.IsZero() {
			sh.judge(s)
		}
	}
}

// publishReplicas tells the pool which replicas may be read, if that has changed. With
// read_from = "lowest_latency" latencies count, too, once they differ enough to matter; the
// primary's is part of the view, so that is published whole.
func (sh *shardState) publishReplicas() {
	if sh.conf.ReadFrom == conf.ReadPrimary || sh.primary == "" {
		return
	}
	replicas := sh.replicas()
	var latency time.Duration
	if p := sh.servers[sh.primary]; p != nil && p.fault == "" {
		latency = p.latency
	}
	if sh.conf.ReadFrom == conf.ReadLowestLatency && latency > 0 && !sh.held && latenciesDiffer(latency, sh.publishedLatency) {
		sh.publish(sh.primary, sh.refuse)
		return
	}
	if slices.EqualFunc(replicas, sh.publishedReplicas, func(a, b pool.Member) bool {
		return a.Addr == b.Addr && (sh.conf.ReadFrom != conf.ReadLowestLatency || !latenciesDiffer(a.Latency, b.Latency))
	}) {
		return
	}
	if sh.conf.ReadFrom == conf.ReadLowestLatency && latency > 0 && !sh.held {
		sh.publish(sh.primary, sh.refuse) // SetReplicas does not carry the primary's latency
		return
	}
	sh.publishedReplicas = replicas
	sh.pool.SetReplicas(sh.index, replicas)
}

// latenciesDiffer reports whether two latencies are so far apart that it matters: by half, and
// by 0.1 ms at least.
func latenciesDiffer(a, b time.Duration) bool {
	const least = 100 * time.Microsecond
	return max(a, b)-min(a, b) > max(least, min(a, b)/2)
}

// replicas returns the replicas that are fit to be read, sorted by address.
func (sh *shardState) replicas() (fit []pool.Member) {
	for addr, s := range sh.servers {
		if addr != sh.primary && s.judged && s.fault == "" && s.last.isReplica() {
			fit = append(fit, sh.member(addr))
		}
	}
	slices.SortFunc(fit, func(a, b pool.Member) int { return strings.Compare(a.Addr, b.Addr) })
	return fit
}

func (sh *shardState) member(addr string) pool.Member {
	m := pool.Member{Addr: addr, Zone: sh.conf.ZoneOf(addr)}
	if s := sh.servers[addr]; s != nil {
		m.Latency = s.latency
	}
	return m
}

// hold makes writes wait, unless they do already or there is no primary, in which case they
// wait anyway.
func (sh *shardState) hold() {
	if !sh.held && sh.primary != "" {
		sh.held, sh.heldAt = true, time.Now()
		sh.pool.Hold(sh.index)
	}
}

// holdReplies is hold, and the primary's replies are not read either. See checkPromotion.
func (sh *shardState) holdReplies() {
	if !sh.held && sh.primary != "" {
		sh.held, sh.heldAt = true, time.Now()
		sh.pool.HoldReplies(sh.index)
	}
}

// holdExpired reports whether a hold has lasted for failover_wait, and takes note that it is
// over. The pool ends it by itself after that time.
func (sh *shardState) holdExpired() bool {
	if sh.held && time.Since(sh.heldAt) > sh.conf.FailoverWait {
		sh.held = false
		return true
	}
	return false
}

// release ends a hold: writes go to the primary that they went to before.
func (sh *shardState) release() {
	if sh.held {
		sh.held = false
		sh.pool.Release(sh.index)
	}
}
