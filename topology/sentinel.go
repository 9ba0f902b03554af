package topology

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ringway/conf"
)

// sentinelFollower follows the masters that Sentinels watch. It listens to all
// Sentinels and polls them, since each of them may be late, wrong or silent, and
// messages get lost. Writes are held from the first event of a failover on: the
// primary that is replaced in a planned one goes on taking writes for seconds,
// and all of them would be lost.
//
// All decisions are made by one goroutine, that of run.
type sentinelFollower struct {
	// Static after construction.
	conf   *conf.Pool
	log    *slog.Logger
	pace   *pollInterval // of the Sentinels
	shards []*sentinelShard
	contact

	box mailbox
	wg  sync.WaitGroup

	links    map[string]*sentinelLink // by address
	began    time.Time
	impaired bool // fewer than half of the Sentinels answer, and the log has it
}

// sentinelShard is one master.
type sentinelShard struct {
	*shard
	votes *votes

	next      said      // who is to be followed, once it says that it is primary
	nextSince time.Time // when that was decided
	replicas  map[string][]string
	trouble   string // that the log has
	warned    bool   // that the Sentinels wait longer than requests do

	sign    string    // the replica that may have been promoted; "" if nothing says so
	signAt  time.Time // when that was seen
	goOnDue bool      // writes wait for the sign alone
}

const (
	// firstGrace is how long a majority of Sentinels is waited for in the
	// beginning; after that, those that answer suffice.
	firstGrace = time.Second
	// fenceAfter is how long a new primary may take to say that it is one; after
	// that, nobody is asked any more. Until then writes wait, and reads go on.
	fenceAfter = 500 * time.Millisecond
	// suspense is for how long news is awaited after an event or a suspicion.
	suspense = 3 * time.Second
	// sentinelsMost bounds how many Sentinels are listened to.
	sentinelsMost = 64
)

func newSentinelFollower(c *conf.Pool, to sink, log *slog.Logger) *sentinelFollower {
	f := &sentinelFollower{
		conf: c, log: log.With("pool", c.Name), pace: newPollInterval(c.ProbeInterval),
		contact: newContact(len(c.Shards)), links: map[string]*sentinelLink{},
	}
	for i, s := range c.Shards {
		f.shards = append(f.shards, &sentinelShard{
			shard: newShard(c, i, to, f.log), votes: newVotes(s.Name), replicas: map[string][]string{},
		})
	}
	return f
}

// run is follower's.
func (f *sentinelFollower) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer f.wg.Wait()
	defer cancel()
	f.box = mailbox{ctx: ctx, posts: make(chan func())}
	f.began = time.Now()
	for _, sh := range f.shards {
		sh.pace.urge(suspense)
	}
	f.pace.urge(suspense)
	for _, s := range f.conf.Sentinels {
		f.link(s.Addr, true)
	}
	round := time.NewTicker(f.conf.ProbeInterval)
	defer round.Stop()
	quick := time.NewTicker(quickly)
	defer quick.Stop()
	for {
		var due <-chan time.Time
		if f.unsettled() {
			due = quick.C
		}
		select {
		case <-ctx.Done():
			return
		case fn := <-f.box.posts:
			fn()
		case d := <-f.doubts:
			f.doubted(d)
		case <-due:
			for _, sh := range f.shards {
				f.watchOver(sh)
			}
		case <-round.C:
			f.round()
		}
	}
}

// unsettled reports whether something is due soon.
func (f *sentinelFollower) unsettled() bool {
	return slices.ContainsFunc(f.shards, func(sh *sentinelShard) bool { return sh.held || sh.next.addr != "" })
}

// link begins to listen to a Sentinel.
func (f *sentinelFollower) link(addr string, listed bool) {
	if f.links[addr] != nil || len(f.links) >= sentinelsMost {
		return
	}
	ctx, cancel := context.WithCancel(f.box.ctx)
	l := &sentinelLink{follower: f, addr: addr, listed: listed, cancel: cancel, now: make(chan struct{}, 1), back: make(chan struct{}, 1)}
	f.links[addr] = l
	f.count()
	f.wg.Go(func() { tend(ctx, f.log, "asking the Sentinel "+addr, func() { l.run(ctx) }) })
	f.wg.Go(func() { tend(ctx, f.log, "listening to the Sentinel "+addr, func() { l.listen(ctx) }) })
}

// unlink ends that.
func (f *sentinelFollower) unlink(l *sentinelLink) {
	l.cancel()
	delete(f.links, l.addr)
	for _, sh := range f.shards {
		sh.votes.silent(l.addr)
		delete(sh.replicas, l.addr)
	}
	f.count()
}

// count has everybody know how many Sentinels there are.
func (f *sentinelFollower) count() {
	for _, sh := range f.shards {
		sh.votes.known = len(f.links)
	}
}

// polled takes what a Sentinel answers.
func (f *sentinelFollower) polled(l *sentinelLink, p poll) {
	if f.links[l.addr] != l {
		return
	}
	f.tellLink(l, p.err)
	if p.err != nil {
		for _, sh := range f.shards {
			sh.votes.silent(l.addr)
		}
		return
	}
	if p.id != "" && l.id != p.id {
		l.id = p.id
		f.unlinkTwins(l)
	}
	if p.full {
		l.others = nil
	}
	for i, m := range p.masters {
		sh := f.shards[i]
		sh.votes.answered(l.addr, m.said)
		sh.warnOfPatience(m.patience)
		if p.full {
			sh.replicas[l.addr] = m.replicas
			l.others = append(l.others, m.peers...)
		}
	}
	if p.full {
		f.learn(l)
	}
	for i := range p.masters {
		f.decide(f.shards[i])
	}
}

// tellLink logs when a Sentinel ceases to answer, and when it does again.
func (f *sentinelFollower) tellLink(l *sentinelLink, err error) {
	was := l.err
	l.err = err
	switch {
	case err != nil && (was == nil || !l.asked):
		message := "a Sentinel does not answer"
		if h := hint(err, asSentinel); h != "" {
			message = "a Sentinel can't be asked: " + h
		}
		f.log.Warn(message, "sentinel", l.addr, "err", err)
	case err == nil && was != nil:
		signal(l.back)
		f.log.Info("the Sentinel answers again", "sentinel", l.addr)
	}
	l.asked = true
}

// unlinkTwins drops other links to the same Sentinel, which is known under two
// addresses: that of the configuration stays.
func (f *sentinelFollower) unlinkTwins(l *sentinelLink) {
	for _, twin := range f.links {
		switch {
		case twin == l || twin.id != l.id:
		case !twin.listed:
			f.unlink(twin)
		case !l.listed:
			f.unlink(l)
			return
		}
	}
}

// learn links those Sentinels that another one knows and we don't.
func (f *sentinelFollower) learn(l *sentinelLink) {
	for _, p := range l.others {
		known := false
		for _, have := range f.links {
			known = known || have.id == p.id && p.id != ""
		}
		if !known {
			f.link(f.conf.MapAddr(p.addr), false)
		}
	}
}

// forget drops Sentinels that were learnt, don't answer, and are known to none of
// those that do.
func (f *sentinelFollower) forget() {
	for _, l := range f.links {
		if l.listed || l.err == nil {
			continue
		}
		known := false
		for _, other := range f.links {
			known = known || other.err == nil && slices.ContainsFunc(other.others, func(p instance) bool {
				return p.id != "" && p.id == l.id || f.conf.MapAddr(p.addr) == l.addr
			})
		}
		if !known {
			f.unlink(l)
		}
	}
}

// event takes an event that a Sentinel has published.
func (f *sentinelFollower) event(l *sentinelLink, channel, payload string) {
	if f.links[l.addr] != l {
		return
	}
	if isOfFailover(channel) {
		f.log.Debug("event", "sentinel", l.addr, "event", channel, "what", payload)
	}
	for _, sh := range f.shards {
		switch sh.votes.heard(l.addr, channel, payload) {
		case look:
			sh.pace.hurry(suspense)
			f.pace.hurry(suspense)
			l.look()
		case begins:
			if !sh.held {
				sh.log.Info("failover: writes wait for the new primary", "primary", sh.primary, "event", channel)
			}
			sh.hold()
			sh.goOnDue = false
			sh.pace.urge(f.conf.FailoverWait + suspense)
			f.pace.urge(f.conf.FailoverWait + suspense)
			l.look()
		case calledOff:
			if sh.held {
				sh.log.Info("failover called off: writes go on", "primary", sh.primary, "event", channel)
			}
			sh.unhold()
			l.look()
		}
	}
}

// doubted takes what the data path suspects: the Sentinels and the shard's servers
// are asked at once. It is they who know.
func (f *sentinelFollower) doubted(d doubt) {
	sh := f.shards[d.shard]
	if d.addr != sh.primary {
		return // that is known already
	}
	sh.pace.hurry(suspense)
	f.pace.hurry(suspense)
}

// decide follows what the Sentinels say.
func (f *sentinelFollower) decide(sh *sentinelShard) {
	hurry := time.Since(f.began) > firstGrace
	if next, ok := sh.votes.target(hurry); ok && next != sh.next {
		f.propose(sh, next)
	}
	f.lookAtAll(sh)
}

// propose makes next the one to be followed, once it says that it is primary.
// Until then the old one gets no more writes.
func (f *sentinelFollower) propose(sh *sentinelShard, next said) {
	sh.next, sh.nextSince = next, time.Now()
	addr := f.conf.MapAddr(next.addr)
	sh.log.Debug("the Sentinels name a primary", "addr", addr, "epoch", next.epoch)
	if sh.primary != "" && sh.primary != addr {
		sh.hold()
		sh.goOnDue = false
	}
	sh.pace.urge(suspense)
	f.pace.urge(suspense)
	f.lookAtAll(sh)
	sh.servers[addr].look()
}

// lookAtAll has all servers of the shard looked at, and no others.
func (f *sentinelFollower) lookAtAll(sh *sentinelShard) {
	var addrs []string
	for _, replicas := range sh.replicas {
		for _, addr := range replicas {
			addrs = append(addrs, f.conf.MapAddr(addr))
		}
	}
	for _, s := range []said{sh.next, sh.votes.current} {
		if s.addr != "" {
			addrs = append(addrs, f.conf.MapAddr(s.addr))
		}
	}
	for _, addr := range addrs {
		if sh.servers[addr] == nil {
			f.watch(sh, sh.at(addr, f.box, &f.wg, func(s *server) { f.seen(sh, s) }))
		}
	}
	sh.lookAtNoOther(addrs)
}

// watch keeps a vigil at a server for as long as it is looked at.
func (f *sentinelFollower) watch(sh *sentinelShard, s *server) {
	v := &vigil{conf: f.conf, auth: f.conf.ServerAuth(), addr: s.addr}
	ended := func() {
		f.box.post(func() {
			if sh.servers[s.addr] == s {
				f.noticed(sh, s, "it has ended its connections")
			}
		})
	}
	f.wg.Go(func() { tend(s.life, f.log, "keeping a vigil at "+s.addr, func() { v.keep(s.life, ended) }) })
}

// seen takes a look at a server.
func (f *sentinelFollower) seen(sh *sentinelShard, s *server) {
	if s.last.isPrimary() && s.wasReplica == s.last.run && s.last.run != "" {
		f.noticed(sh, s, "it says that it is primary")
		s.wasReplica = ""
	} else if s.last.isReplica() {
		s.wasReplica = s.last.run
	}
	switch {
	case sh.next.addr != "" && f.conf.MapAddr(sh.next.addr) == s.addr && s.last.asked.After(sh.nextSince):
		if !s.last.isPrimary() {
			break
		}
		f.adopt(sh)
	case s.addr == sh.primary && !s.last.answered():
		sh.pace.hurry(suspense / 3)
	}
	sh.tellReplicas()
}

// adopt follows the one that was proposed.
func (f *sentinelFollower) adopt(sh *sentinelShard) {
	addr := f.conf.MapAddr(sh.next.addr)
	took := time.Duration(0)
	if sh.held {
		took = time.Since(sh.heldAt)
	}
	sh.log.Info("following the Sentinels", "primary", addr, "epoch", sh.next.epoch, "held_for", took.Round(time.Millisecond))
	sh.votes.adopt(sh.next)
	sh.next, sh.trouble = said{}, ""
	sh.sign, sh.goOnDue = "", false
	sh.tell(addr, "")
	f.setPrimary(sh.index, addr)
}

// watchOver does what is due by the clock.
func (f *sentinelFollower) watchOver(sh *sentinelShard) {
	f.forgetSign(sh)
	if sh.holdOver() {
		sh.log.Warn("failover takes longer than failover_wait: writes wait no more", "primary", sh.primary)
		clear(sh.votes.trying)
	}
	if sh.next.addr == "" || time.Since(sh.nextSince) < min(fenceAfter, f.conf.FailoverWait/2) {
		return
	}
	sh.pace.hurry(suspense)
	addr := f.conf.MapAddr(sh.next.addr)
	if sh.primary != "" && sh.primary != addr {
		sh.tell("", "") // whatever the old one says of itself
	}
	if s := sh.servers[addr]; s != nil {
		sh.complain(fmt.Sprintf("the server that the Sentinels name, %s, can't be followed yet: %s", addr, whyDown(&s.last)))
	}
}

// warnOfPatience warns, once, if clients will notice each death of a primary since
// the Sentinels wait for longer than requests do.
func (sh *sentinelShard) warnOfPatience(d time.Duration) {
	if d < sh.conf.FailoverWait || d == 0 || sh.warned {
		return
	}
	sh.warned = true
	sh.log.Warn("the Sentinels replace a primary that has died only after down-after-milliseconds, and requests fail after failover_wait: lower the one or raise the other",
		"down_after", d, "failover_wait", sh.conf.FailoverWait)
}

// complain logs a trouble, once.
func (sh *sentinelShard) complain(trouble string) {
	if sh.trouble != trouble {
		sh.trouble = trouble
		sh.log.Warn(trouble)
	}
}

// round does what is due once in an interval.
func (f *sentinelFollower) round() {
	f.forget()
	answering := 0
	for _, l := range f.links {
		if l.asked && l.err == nil {
			answering++
		}
	}
	f.tellImpaired(answering)
	for _, sh := range f.shards {
		p := sh.servers[sh.primary]
		if stray, ok := sh.votes.tick(p != nil && p.last.isReplica()); ok && stray != sh.next {
			sh.log.Warn("the Sentinels were set up anew, and name another primary", "addr", stray.addr, "epoch", stray.epoch)
			f.propose(sh, stray)
		}
		f.decide(sh)
		if sh.votes.current.addr == "" && sh.next.addr == "" && time.Since(f.began) > firstGrace {
			sh.complain(sh.votes.lack())
		}
	}
}

// tellImpaired logs when fewer than half of the Sentinels answer, and when they do
// again.
func (f *sentinelFollower) tellImpaired(answering int) {
	impaired := 2*answering <= len(f.links)
	if impaired == f.impaired || time.Since(f.began) < firstGrace {
		return
	}
	f.impaired = impaired
	if impaired {
		f.log.Warn("too few Sentinels answer for a failover: primaries stay who they are; see that most Sentinels run and can be reached",
			"answering", answering, "known", len(f.links))
	} else {
		f.log.Info("enough Sentinels answer", "answering", answering, "known", len(f.links))
	}
}
