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

// sentinelFollower finds the primaries of a pool of topology "sentinel": the masters that
// Sentinels watch. It polls all Sentinels and subscribes to their events, since each of them
// may be late, wrong or silent, and messages get lost. A primary changes in three steps
// (docs/adr/0014):
//
//  1. An event shows that a failover has begun. Writes are held from then on: in a planned
//     failover the old primary goes on taking writes for seconds, and all of them would be
//     lost.
//  2. votes finds a newer configuration in the answers: its address becomes the candidate.
//  3. The candidate itself says that it is primary, when polled after step 2. Then the pool
//     is told, and writes go there. Until it does, the shard has no primary after
//     candidateTimeout, and never the old one again.
//
// The first step may be missing, as when the Sentinel that leads the failover is out of
// reach; then a promotion check (checkPromotion) can stand in for it.
//
// All decisions are made by one goroutine, that of run.
type sentinelFollower struct {
	// Static after construction.
	conf     *conf.Pool
	log      *slog.Logger
	interval *pollInterval // of the Sentinels
	shards   []*sentinelShard

	sharedState // for any goroutine

	// Of the goroutine of run.
	mailbox      mailbox
	wg           sync.WaitGroup           // of all goroutines that run has started
	links        map[string]*sentinelLink // by address
	startedAt    time.Time
	blind        bool // a Sentinel is not heard, as logged
	tooFewAnswer bool // fewer than a majority of the Sentinels answers, as logged
}

// sentinelShard is one master of the Sentinels.
type sentinelShard struct {
	*shardState

	// What the Sentinels say.
	votes    *votes
	replicas map[string][]string // by Sentinel, the addresses of the replicas that it knows

	// A change of the primary.
	candidate      masterConfig // is followed once it says itself that it is primary
	candidateSince time.Time

	// A promotion check.
	maybePromoted   string    // the address of the replica that is asked; "" if there is no check
	maybePromotedAt time.Time // when the check began
	heldForCheck    bool      // writes are held for the check alone

	acks int // how many replicas must acknowledge what replies are about, as the pool was told; -1 before

	// What the log has already.
	lastWarning     string
	warnedDownAfter bool // of down-after-milliseconds against failover_wait
}

const (
	// startGrace is how long the follower waits, at the start, for answers of a majority of
	// the Sentinels. After that, those that it has suffice.
	startGrace = time.Second
	// candidateTimeout is how long a candidate may take to say that it is primary. Until
	// then writes wait, and reads go to the old primary; after that the shard has no primary.
	candidateTimeout = 500 * time.Millisecond
	// fastPolling is how long polls are fast after an event or a suspicion.
	fastPolling = 3 * time.Second
	// maxSentinels bounds how many Sentinels are polled. Those that the configuration lists
	// come first; more are learnt from them.
	maxSentinels = 64
)

func newSentinelFollower(c *conf.Pool, updater poolUpdater, log *slog.Logger) *sentinelFollower {
	f := &sentinelFollower{
		conf: c, log: log.With("pool", c.Name), interval: newPollInterval(c.ProbeInterval),
		sharedState: newSharedState(len(c.Shards)), links: map[string]*sentinelLink{},
	}
	for i, s := range c.Shards {
		f.shards = append(f.shards, &sentinelShard{
			shardState: newShardState(c, i, updater, f.log), votes: newVotes(s.Name), replicas: map[string][]string{}, acks: -1,
		})
	}
	return f
}

// run implements follower.
func (f *sentinelFollower) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer f.wg.Wait()
	defer cancel()
	f.mailbox = mailbox{ctx: ctx, posts: make(chan func())}
	f.startedAt = time.Now()
	for _, sh := range f.shards {
		sh.interval.speedUpAnew(fastPolling)
	}
	f.interval.speedUpAnew(fastPolling)
	for _, s := range f.conf.Sentinels {
		f.link(s.Addr, true)
	}
	round := time.NewTicker(f.conf.ProbeInterval)
	defer round.Stop()
	fast := time.NewTicker(fastInterval)
	defer fast.Stop()
	for {
		var due <-chan time.Time
		if f.awaitsChange() {
			due = fast.C
		}
		select {
		case <-ctx.Done():
			return
		case fn := <-f.mailbox.posts:
			fn()
		case s := <-f.suspects:
			f.onSuspect(s)
		case <-due:
			for _, sh := range f.shards {
				f.checkDeadlines(sh)
			}
		case <-round.C:
			f.round()
		}
	}
}

// awaitsChange reports whether a shard has a deadline that checkDeadlines must watch.
func (f *sentinelFollower) awaitsChange() bool {
	return slices.ContainsFunc(f.shards, func(sh *sentinelShard) bool { return sh.held || sh.candidate.addr != "" })
}

// link begins to poll a Sentinel and to listen to its events. It does nothing if that is done
// already, or there are too many. Configured says that the configuration lists it.
func (f *sentinelFollower) link(addr string, configured bool) {
	if f.links[addr] != nil || len(f.links) >= maxSentinels {
		return
	}
	ctx, cancel := context.WithCancel(f.mailbox.ctx)
	l := &sentinelLink{follower: f, addr: addr, configured: configured, cancel: cancel, wake: make(chan struct{}, 1), resubscribe: make(chan struct{}, 1)}
	f.links[addr] = l
	f.setSentinelCount()
	f.wg.Go(func() { supervise(ctx, f.log, "asking the Sentinel "+addr, func() { l.run(ctx) }) })
	f.wg.Go(func() { supervise(ctx, f.log, "listening to the Sentinel "+addr, func() { l.listen(ctx) }) })
}

// unlink ends both, and forgets what the Sentinel said.
func (f *sentinelFollower) unlink(l *sentinelLink) {
	l.cancel()
	delete(f.links, l.addr)
	for _, sh := range f.shards {
		sh.votes.dropAnswer(l.addr)
		delete(sh.replicas, l.addr)
	}
	f.setSentinelCount()
}

// setSentinelCount tells the votes of all shards how many Sentinels are known, by which a
// majority is counted.
func (f *sentinelFollower) setSentinelCount() {
	for _, sh := range f.shards {
		sh.votes.sentinels = len(f.links)
	}
}

// onPoll takes a Sentinel's answer, for all masters that it was asked about, and decides anew.
func (f *sentinelFollower) onPoll(l *sentinelLink, p poll) {
	if f.links[l.addr] != l {
		return
	}
	f.logLink(l, p.err)
	defer f.setAllReplicaAcks()
	if p.err != nil {
		for _, sh := range f.shards {
			sh.votes.dropAnswer(l.addr)
		}
		return
	}
	if p.id != "" && l.id != p.id {
		l.id = p.id
		f.unlinkDuplicates(l)
	}
	if p.full {
		l.peers = nil
	}
	for i, m := range p.masters {
		sh := f.shards[i]
		sh.votes.setAnswer(l.addr, m.config)
		sh.warnOfDownAfter(m.downAfter)
		if p.full {
			sh.replicas[l.addr] = m.replicas
			l.peers = append(l.peers, m.peers...)
		}
	}
	if p.full {
		f.linkPeers(l)
	}
	for i := range p.masters {
		f.decide(f.shards[i])
	}
}

// logLink logs when a Sentinel stops answering and when it answers again. In the latter case
// its events are subscribed to at once.
func (f *sentinelFollower) logLink(l *sentinelLink, err error) {
	was := l.err
	l.err = err
	switch {
	case err != nil && (was == nil || !l.polled):
		message := "Sentinel does not answer"
		if h := hint(err, asSentinel); h != "" {
			message = "Sentinel can't be asked: " + h
		}
		f.log.Warn(message, "sentinel", l.addr, "err", err)
	case err == nil && was != nil:
		signal(l.resubscribe)
		f.log.Info("Sentinel answers again", "sentinel", l.addr)
	}
	l.polled = true
}

// unlinkDuplicates drops all links but one to a Sentinel that is known under several
// addresses, so that it does not count twice. A configured address stays.
func (f *sentinelFollower) unlinkDuplicates(l *sentinelLink) {
	for _, duplicate := range f.links {
		switch {
		case duplicate == l || duplicate.id != l.id:
		case !duplicate.configured:
			f.unlink(duplicate)
		case !l.configured:
			f.unlink(l)
			return
		}
	}
}

// linkPeers links the Sentinels that another one knows and this follower does not: the
// configuration need not list all.
func (f *sentinelFollower) linkPeers(l *sentinelLink) {
	for _, p := range l.peers {
		isKnown := false
		for _, have := range f.links {
			isKnown = isKnown || have.id == p.id && p.id != ""
		}
		if !isKnown {
			f.link(f.conf.MapAddr(p.addr), false)
		}
	}
}

// unlinkForgotten drops Sentinels that were learnt from others, do not answer, and are no
// longer known to any Sentinel that does. They would count for a majority for ever.
func (f *sentinelFollower) unlinkForgotten() {
	for _, l := range f.links {
		if l.configured || l.err == nil {
			continue
		}
		isKnown := false
		for _, other := range f.links {
			isKnown = isKnown || other.err == nil && slices.ContainsFunc(other.peers, func(p instance) bool {
				return p.id != "" && p.id == l.id || f.conf.MapAddr(p.addr) == l.addr
			})
		}
		if !isKnown {
			f.unlink(l)
		}
	}
}

// onEvent takes an event that a Sentinel has published.
func (f *sentinelFollower) onEvent(l *sentinelLink, channel, payload string) {
	if f.links[l.addr] != l {
		return
	}
	if isFailoverEvent(channel) {
		f.log.Debug("event", "sentinel", l.addr, "event", channel, "what", payload)
	}
	for _, sh := range f.shards {
		switch sh.votes.onEvent(l.addr, channel, payload) {
		case eventPoll:
			sh.interval.speedUp(fastPolling)
			f.interval.speedUp(fastPolling)
			l.pollNow()
		case eventFailover:
			if !sh.held {
				sh.log.Info("failover: writes wait for the new primary", "primary", sh.primary, "event", channel)
			}
			sh.hold()
			sh.heldForCheck = false
			sh.interval.speedUpAnew(f.conf.FailoverWait + fastPolling)
			f.interval.speedUpAnew(f.conf.FailoverWait + fastPolling)
			l.pollNow()
		case eventAborted:
			if sh.held {
				sh.log.Info("failover aborted: writes continue", "primary", sh.primary, "event", channel)
			}
			sh.release()
			l.pollNow()
		}
	}
}

// onSuspect has the Sentinels and the shard's servers polled fast. The suspicion alone changes
// nothing: a primary that the proxy can't reach may be well.
func (f *sentinelFollower) onSuspect(s suspectedPrimary) {
	sh := f.shards[s.shard]
	if s.addr != sh.primary {
		return // another primary is followed already
	}
	sh.interval.speedUp(fastPolling)
	f.interval.speedUp(fastPolling)
}

// decide makes what the Sentinels name the candidate, if that is new.
func (f *sentinelFollower) decide(sh *sentinelShard) {
	graceOver := time.Since(f.startedAt) > startGrace
	if target, ok := sh.votes.target(graceOver); ok && target != sh.candidate {
		f.propose(sh, target)
	}
	f.pollServers(sh)
}

// propose makes a configuration the candidate: it is followed once it says that it is primary. The old
// primary gets no more writes.
func (f *sentinelFollower) propose(sh *sentinelShard, candidate masterConfig) {
	sh.candidate, sh.candidateSince = candidate, time.Now()
	addr := f.conf.MapAddr(candidate.addr)
	sh.log.Debug("primary named by the Sentinels", "addr", addr, "epoch", candidate.epoch)
	switch {
	case sh.primary == "" || sh.primary == addr:
	case sh.acks > 0 && !sh.held:
		sh.holdReplies() // no event came: what was not acknowledged may be lost
	default:
		sh.hold()
		sh.heldForCheck = false
	}
	sh.interval.speedUpAnew(fastPolling)
	f.interval.speedUpAnew(fastPolling)
	f.pollServers(sh)
	sh.servers[addr].pollNow()
}

// pollServers has all servers polled that the Sentinels name for the shard, as primary or
// replica, and no others.
func (f *sentinelFollower) pollServers(sh *sentinelShard) {
	var addrs []string
	for _, replicas := range sh.replicas {
		for _, addr := range replicas {
			addrs = append(addrs, f.conf.MapAddr(addr))
		}
	}
	for _, config := range [...]masterConfig{sh.candidate, sh.votes.current} {
		if config.addr != "" {
			addrs = append(addrs, f.conf.MapAddr(config.addr))
		}
	}
	for _, addr := range addrs {
		if sh.servers[addr] == nil {
			f.watchForClose(sh, sh.poll(addr, f.mailbox, &f.wg, func(s *server) { f.onObservation(sh, s) }))
		}
	}
	sh.pollOnly(addrs)
}

// watchForClose begins a promotion check whenever the server closes its idle connection, for
// as long as it is polled.
func (f *sentinelFollower) watchForClose(sh *sentinelShard, s *server) {
	w := &closeWatcher{conf: f.conf, auth: f.conf.ServerAuth(), addr: s.addr}
	closed := func() {
		f.mailbox.post(func() {
			if sh.servers[s.addr] == s {
				f.checkPromotion(sh, s, "it closed its connections")
			}
		})
	}
	f.wg.Go(func() { supervise(s.ctx, f.log, "watching the connection to "+s.addr, func() { w.run(s.ctx, closed) }) })
}

// onObservation takes an observation of a server. It completes a change of the primary if the
// server is the candidate, and begins a promotion check if a process that was a replica is
// primary now.
func (f *sentinelFollower) onObservation(sh *sentinelShard, s *server) {
	if s.last.isPrimary() && s.replicaRunID == s.last.runID && s.last.runID != "" {
		f.checkPromotion(sh, s, "it says that it is primary")
		s.replicaRunID = ""
	} else if s.last.isReplica() {
		s.replicaRunID = s.last.runID
	}
	switch {
	case sh.candidate.addr != "" && f.conf.MapAddr(sh.candidate.addr) == s.addr && s.last.askedAt.After(sh.candidateSince):
		if !s.last.isPrimary() {
			break
		}
		f.followCandidate(sh)
	case s.addr == sh.primary && !s.last.answered():
		sh.interval.speedUp(fastPolling / 3)
	}
	sh.publishReplicas()
	f.setReplicaAcks(sh)
}

// followCandidate makes the candidate the primary, which it has confirmed itself, and ends
// what was held for the change.
func (f *sentinelFollower) followCandidate(sh *sentinelShard) {
	addr := f.conf.MapAddr(sh.candidate.addr)
	heldFor := time.Duration(0)
	if sh.held {
		heldFor = time.Since(sh.heldAt)
	}
	sh.log.Info("following the Sentinels", "primary", addr, "epoch", sh.candidate.epoch, "held_for", heldFor.Round(time.Millisecond))
	sh.votes.adopt(sh.candidate)
	sh.candidate, sh.lastWarning = masterConfig{}, ""
	sh.maybePromoted, sh.heldForCheck = "", false
	sh.publish(addr, "")
	f.setPrimary(sh.index, addr)
}

// checkDeadlines does what is due by the clock while a shard awaits a change.
func (f *sentinelFollower) checkDeadlines(sh *sentinelShard) {
	f.expirePromotionCheck(sh)
	if sh.holdExpired() {
		sh.log.Warn("failover longer than failover_wait: writes no longer wait", "primary", sh.primary)
		clear(sh.votes.failingOver)
	}
	if sh.candidate.addr == "" || time.Since(sh.candidateSince) < min(candidateTimeout, f.conf.FailoverWait/2) {
		return
	}
	sh.interval.speedUp(fastPolling)
	addr := f.conf.MapAddr(sh.candidate.addr)
	if sh.primary != "" && sh.primary != addr {
		sh.publish("", "") // even if the old one says that it is primary: it was replaced
	}
	if s := sh.servers[addr]; s != nil {
		sh.warnOnce(fmt.Sprintf("primary that the Sentinels name, %s, can't be followed yet: %s", addr, primaryFault(&s.last)))
	}
}

// warnOfDownAfter warns, once, if the Sentinels wait longer before they replace a dead primary
// (downAfter) than requests wait for a new one: clients would get errors in each failover.
func (sh *sentinelShard) warnOfDownAfter(downAfter time.Duration) {
	if downAfter < sh.conf.FailoverWait || downAfter == 0 || sh.warnedDownAfter {
		return
	}
	sh.warnedDownAfter = true
	sh.log.Warn("down-after-milliseconds of the Sentinels is not shorter than failover_wait: requests fail before a dead primary is replaced; lower the one or raise the other",
		"down_after", downAfter, "failover_wait", sh.conf.FailoverWait)
}

// warnOnce logs a warning unless it is the same as the last one.
func (sh *sentinelShard) warnOnce(warning string) {
	if sh.lastWarning != warning {
		sh.lastWarning = warning
		sh.log.Warn(warning)
	}
}

// round does what is due once in a probe_interval.
func (f *sentinelFollower) round() {
	f.unlinkForgotten()
	f.setAllReplicaAcks()
	answering := 0
	for _, l := range f.links {
		if l.polled && l.err == nil {
			answering++
		}
	}
	f.logTooFew(answering)
	for _, sh := range f.shards {
		p := sh.servers[sh.primary]
		if rival, ok := sh.votes.tick(p != nil && p.last.isReplica()); ok && rival != sh.candidate {
			sh.log.Warn("Sentinels were reset and name another primary", "addr", rival.addr, "epoch", rival.epoch)
			f.propose(sh, rival)
		}
		f.decide(sh)
		if sh.votes.current.addr == "" && sh.candidate.addr == "" && time.Since(f.startedAt) > startGrace {
			sh.warnOnce(sh.votes.whyNone())
		}
	}
}

// logTooFew logs when fewer than a majority of the Sentinels answers, so that a failover would
// not happen or not be noticed, and when enough answer again.
func (f *sentinelFollower) logTooFew(answering int) {
	impaired := 2*answering <= len(f.links)
	if impaired == f.tooFewAnswer || time.Since(f.startedAt) < startGrace {
		return
	}
	f.tooFewAnswer = impaired
	if impaired {
		f.log.Warn("too few Sentinels answer for a failover: primaries stay as they are; check that most Sentinels run and can be reached",
			"answering", answering, "known", len(f.links))
	} else {
		f.log.Info("enough Sentinels answer again", "answering", answering, "known", len(f.links))
	}
}
