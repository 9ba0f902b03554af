package topology

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"ringway/conf"
)

// replicatedFollower finds the primaries of a pool of topology "replicated", which nobody but
// the proxy watches. All servers that the configuration lists for a shard are polled, and
// replicationHistory decides by their answers (docs/adr/0014). It never promotes a server: it
// follows whom an operator, or FAILOVER, has made primary.
//
// All decisions are made by one goroutine, that of run.
type replicatedFollower struct {
	// Static after construction.
	conf   *conf.Pool
	shards []*replicatedShard

	sharedState // for any goroutine

	// Of the goroutine of run.
	mailbox mailbox
	wg      sync.WaitGroup // of all goroutines that run has started
}

// replicatedShard is one shard and the decision about it that is under way.
type replicatedShard struct {
	*shardState
	history      *replicationHistory
	pending      decision  // is carried out when the servers, asked again, give the same one
	pendingSince time.Time // when it was made first
	executed     decision  // the last one that was carried out
}

func newReplicatedFollower(c *conf.Pool, updater poolUpdater, log *slog.Logger) *replicatedFollower {
	f := &replicatedFollower{conf: c, sharedState: newSharedState(len(c.Shards))}
	for i, s := range c.Shards {
		f.shards = append(f.shards, &replicatedShard{
			shardState: newShardState(c, i, updater, log.With("pool", c.Name)), history: newReplicationHistory(s.Name),
		})
	}
	return f
}

// run implements follower.
func (f *replicatedFollower) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer f.wg.Wait()
	defer cancel()
	f.mailbox = mailbox{ctx: ctx, posts: make(chan func())}
	for i, sh := range f.shards {
		sh.interval.speedUpAnew(fastPolling)
		for _, s := range f.conf.Shards[i].Servers {
			sh.poll(f.conf.MapAddr(s.Addr), f.mailbox, &f.wg, func(s *server) { f.onObservation(sh, s) })
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case fn := <-f.mailbox.posts:
			fn()
		case s := <-f.suspects:
			f.onSuspect(s)
		}
	}
}

// onSuspect has all servers of a shard polled fast, if the suspected server is still the
// primary.
func (f *replicatedFollower) onSuspect(s suspectedPrimary) {
	if sh := f.shards[s.shard]; s.addr == sh.primary {
		sh.interval.speedUp(fastPolling)
	}
}

// onObservation decides anew after each observation of one of the shard's servers. The first
// decision needs an answer, or a failure, of every server.
func (f *replicatedFollower) onObservation(sh *replicatedShard, s *server) {
	sh.holdExpired()
	if s.addr == sh.primary && !s.last.answered() {
		sh.interval.speedUp(fastPolling / 3)
	}
	all, complete := sh.reports()
	for _, r := range all {
		sh.history.confirm(r)
	}
	if complete || sh.history.current != "" {
		f.consider(sh, sh.history.decide(all))
	}
	sh.publishReplicas()
}

// reports returns the last report of each server, and whether they suffice for the first
// decision: every server was asked, and none is a primary that is still loading, whose history
// is not known yet.
func (sh *replicatedShard) reports() (all []serverReport, complete bool) {
	complete = true
	for _, s := range sh.conf.Shards[sh.index].Servers {
		r := serverReport{addr: sh.conf.MapAddr(s.Addr)}
		last := &sh.servers[r.addr].last
		complete = complete && !last.askedAt.IsZero() && !(last.loading && last.isPrimary())
		if r.answered = last.answered() && !last.loading; r.answered {
			r.replication = last.replication
			if r.primary != "" {
				r.primary = sh.conf.MapAddr(r.primary)
			}
		}
		all = append(all, r)
	}
	return all, complete
}

// consider carries out a decision, at once or when a second round of polls has confirmed it: a
// poll may have seen one server before and another after a change. Until then writes are held
// if another primary is to be followed.
func (f *replicatedFollower) consider(sh *replicatedShard, d decision) {
	if d.do == keep {
		sh.pending = d
		sh.release()
		if sh.executed.do == refuse || sh.executed.do == await {
			f.execute(sh, d) // the uncertainty is over
		}
		return
	}
	if d == sh.executed && (d.do == refuse || d.do == await) {
		return
	}
	if d != sh.pending {
		sh.pending, sh.pendingSince = d, time.Now()
		sh.interval.speedUpAnew(fastPolling)
	}
	switch {
	case d.atOnce || sh.askedAgain(d):
		f.execute(sh, d)
	case d.do == follow:
		sh.hold() // what the old primary acknowledges from now on would be lost
	}
}

// askedAgain reports whether the servers on which a decision rests were polled again since it
// was made first: the one to follow, or all that say that they are primary.
func (sh *replicatedShard) askedAgain(d decision) bool {
	for _, s := range sh.servers {
		counts := s.addr == d.addr || d.do == refuse && s.last.isPrimary()
		if counts && !s.last.askedAt.After(sh.pendingSince) {
			return false
		}
	}
	return true
}

// execute carries out a decision.
func (f *replicatedFollower) execute(sh *replicatedShard, d decision) {
	sh.executed, sh.pending = d, decision{}
	switch d.do {
	case keep:
		if sh.history.current != "" {
			sh.log.Info("primary is certain again", "primary", sh.history.current)
		}
		sh.publish(sh.history.current, "")
	case follow:
		level := slog.LevelInfo
		if sh.history.current == d.addr {
			level = slog.LevelWarn // it was restarted, perhaps without its data
		}
		sh.log.Log(context.Background(), level, "following a primary", "primary", d.addr, "reason", d.reason)
		all, _ := sh.reports()
		for _, r := range all {
			if r.addr == d.addr {
				sh.history.adopt(r)
			}
		}
		sh.publish(d.addr, "")
		f.setPrimary(sh.index, d.addr)
	case await:
		sh.log.Info("waiting for a primary", "reason", d.reason)
		sh.publish("", "")
		sh.interval.speedUpAnew(f.conf.FailoverWait + fastPolling)
	case refuse:
		sh.log.Error("writes refused", "reason", d.reason)
		sh.publish(sh.history.current, d.refuse)
	}
}
