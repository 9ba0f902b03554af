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

// sink is what followers tell what they find; *pool.Pool is one.
type sink interface {
	SetView(shard int, v pool.View)
	SetReplicas(shard int, replicas []pool.Member)
	Hold(shard int)
	HoldReplies(shard int)
	GiveUpReplies(shard int)
	Release(shard int)
}

// A mailbox has functions run one after the other, by the goroutine of a
// follower.
type mailbox struct {
	ctx   context.Context
	posts chan func()
}

// post waits while the mailbox is full, but not after the follower has ended.
func (m mailbox) post(fn func()) {
	select {
	case m.posts <- fn:
	case <-m.ctx.Done():
	}
}

// A shard is what a follower knows of one shard of its pool: the servers that are
// looked at, and what the pool was told of them. It belongs to the follower's
// goroutine.
type shard struct {
	// Static after construction.
	conf  *conf.Pool
	index int
	name  string
	to    sink
	log   *slog.Logger
	pace  *pollInterval

	servers map[string]*server
	primary string // who serves, as told; "" for nobody
	refuse  string // what writes get, as told
	held    bool   // writes wait, as told
	heldAt  time.Time
	track   track
	told    []pool.Member // the replicas, as told
	near    time.Duration // the primary's latency, as told
}

// A server is one that may be of a shard.
type server struct {
	poller
	life       context.Context // while it is looked at
	wasReplica string          // the process that was seen as a replica last; "" for none
	hinted     string          // what the log has of the configuration being wrong
	last       observation     // the zero value before the first look
	fitness                    // as what the server is: primary or replica
}

func newShard(c *conf.Pool, index int, to sink, log *slog.Logger) *shard {
	return &shard{
		conf: c, index: index, name: c.Shards[index].Name, to: to,
		log: log.With("shard", c.Shards[index].Name), pace: newPollInterval(c.ProbeInterval),
		servers: map[string]*server{},
	}
}

// at returns a server, which from now on is looked at. Each observation is given
// to report, on the follower's goroutine.
func (c *shard) at(addr string, box mailbox, wg *sync.WaitGroup, report func(*server)) *server {
	if s := c.servers[addr]; s != nil {
		return s
	}
	ctx, cancel := context.WithCancel(box.ctx)
	s := &server{life: ctx, poller: poller{conf: c.conf, addr: addr, interval: c.pace, now: make(chan struct{}, 1), cancel: cancel}}
	c.servers[addr] = s
	seen := func(o observation) {
		box.post(func() {
			if c.servers[addr] == s {
				c.see(s, o)
				report(s)
			}
		})
	}
	wg.Go(func() { tend(ctx, c.log, "looking at "+addr, func() { s.run(ctx, seen) }) })
	return s
}

// lookAtNoOther ends the watch on all servers but these.
func (c *shard) lookAtNoOther(keep []string) {
	for addr, s := range c.servers {
		if !slices.Contains(keep, addr) {
			s.cancel()
			delete(c.servers, addr)
		}
	}
}

// see takes an observation.
func (c *shard) see(s *server, o observation) {
	s.last = o
	if h := hint(o.err, asServer); h != s.hinted && (h != "" || o.err == nil) {
		s.hinted = h
		if h != "" {
			c.log.Warn("a server can't be asked: "+h, "addr", s.addr, "err", o.err)
		}
	}
	if s.addr == c.primary {
		c.track.note(&o, 2*max(c.conf.MaxReplicaLag, c.conf.ProbeInterval))
	}
	if c.primary != "" {
		c.judge(s)
	}
}

// judge decides whether a server is fit, by the last observation of it, and logs
// what has become of it.
func (c *shard) judge(s *server) {
	what, fault := "replica", ""
	if s.addr == c.primary {
		what, fault = "primary", whyDown(&s.last)
	} else {
		var primary observation
		if p := c.servers[c.primary]; p != nil {
			primary = p.last
		}
		fault = whyUnread(&s.last, &primary, c.track.lag(&s.last), c.conf.MaxReplicaLag)
	}
	first := !s.seen
	changed, after := s.fitness.judge(&s.last, fault)
	level := slog.LevelWarn
	if c.held {
		level = slog.LevelDebug // the roles change, and all of them will be seen anew
	}
	switch {
	case !changed || first && fault == "":
	case fault != "":
		c.log.Log(context.Background(), level, what+" is not well", "addr", s.addr, "reason", fault)
	case !first:
		c.log.Info(what+" is well again", "addr", s.addr, "after", after.Round(time.Millisecond))
	}
}

// tell tells the pool who serves, and with refuse that nobody does. It ends hold.
func (c *shard) tell(primary, refuse string) {
	if primary != c.primary && primary != "" {
		c.change(primary)
	}
	c.primary, c.refuse, c.held = primary, refuse, false
	v := pool.View{Refuse: refuse, Replicas: c.replicas()}
	if primary != "" {
		v.Primary = c.member(primary)
	}
	c.told, c.near = v.Replicas, v.Primary.Latency
	c.to.SetView(c.index, v)
}

// change makes another server the primary, by which all are judged anew.
func (c *shard) change(primary string) {
	c.primary, c.track = primary, track{}
	for _, s := range c.servers {
		s.fitness = fitness{latency: s.latency}
		if !s.last.asked.IsZero() {
			c.judge(s)
		}
	}
}

// tellReplicas tells the pool which replicas may be read, if that has changed.
func (c *shard) tellReplicas() {
	if c.conf.ReadFrom == conf.ReadPrimary || c.primary == "" {
		return
	}
	replicas := c.replicas()
	var near time.Duration
	if p := c.servers[c.primary]; p != nil && p.out == "" {
		near = p.latency
	}
	if c.conf.ReadFrom == conf.ReadLowestLatency && near > 0 && !c.held && differ(near, c.near) {
		c.tell(c.primary, c.refuse)
		return
	}
	if slices.EqualFunc(replicas, c.told, func(a, b pool.Member) bool {
		return a.Addr == b.Addr && (c.conf.ReadFrom != conf.ReadLowestLatency || !differ(a.Latency, b.Latency))
	}) {
		return
	}
	if c.conf.ReadFrom == conf.ReadLowestLatency && near > 0 && !c.held {
		c.tell(c.primary, c.refuse) // SetReplicas does not tell the primary's latency
		return
	}
	c.told = replicas
	c.to.SetReplicas(c.index, replicas)
}

// differ reports whether two latencies are so far apart that it matters.
func differ(a, b time.Duration) bool {
	const least = 100 * time.Microsecond
	return max(a, b)-min(a, b) > max(least, min(a, b)/2)
}

// replicas returns those that are fit to be read.
func (c *shard) replicas() (fit []pool.Member) {
	for addr, s := range c.servers {
		if addr != c.primary && s.seen && s.out == "" && s.last.isReplica() {
			fit = append(fit, c.member(addr))
		}
	}
	slices.SortFunc(fit, func(a, b pool.Member) int { return strings.Compare(a.Addr, b.Addr) })
	return fit
}

func (c *shard) member(addr string) pool.Member {
	m := pool.Member{Addr: addr, Zone: c.conf.ZoneOf(addr)}
	if s := c.servers[addr]; s != nil {
		m.Latency = s.latency
	}
	return m
}

// hold has writes wait, if they don't.
func (c *shard) hold() {
	if !c.held && c.primary != "" {
		c.held, c.heldAt = true, time.Now()
		c.to.Hold(c.index)
	}
}

// holdReplies has writes wait, and what the primary answers, if writes don't.
func (c *shard) holdReplies() {
	if !c.held && c.primary != "" {
		c.held, c.heldAt = true, time.Now()
		c.to.HoldReplies(c.index)
	}
}

// holdOver reports whether writes wait no more since they have for as long as
// they may, and takes note of that.
func (c *shard) holdOver() bool {
	if c.held && time.Since(c.heldAt) > c.conf.FailoverWait {
		c.held = false
		return true
	}
	return false
}

// unhold lets them go on.
func (c *shard) unhold() {
	if c.held {
		c.held = false
		c.to.Release(c.index)
	}
}
