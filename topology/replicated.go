package topology

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"ringway/conf"
)

// replicatedFollower follows primaries that nobody watches but we: all servers of
// each shard are asked who they are, and lineage decides.
//
// All decisions are made by one goroutine, that of run.
type replicatedFollower struct {
	// Static after construction.
	conf   *conf.Pool
	shards []*replicatedShard
	contact

	box mailbox
	wg  sync.WaitGroup
}

// replicatedShard is one shard.
type replicatedShard struct {
	*shard
	lineage *lineage
	pending verdict   // that must be come to twice
	since   time.Time // when it was come to
	given   verdict   // the last one that was executed
}

func newReplicatedFollower(c *conf.Pool, to sink, log *slog.Logger) *replicatedFollower {
	f := &replicatedFollower{conf: c, contact: newContact(len(c.Shards))}
	for i, s := range c.Shards {
		f.shards = append(f.shards, &replicatedShard{
			shard: newShard(c, i, to, log.With("pool", c.Name)), lineage: newLineage(s.Name),
		})
	}
	return f
}

// run is follower's.
func (f *replicatedFollower) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer f.wg.Wait()
	defer cancel()
	f.box = mailbox{ctx: ctx, posts: make(chan func())}
	for i, sh := range f.shards {
		sh.pace.urge(suspense)
		for _, s := range f.conf.Shards[i].Servers {
			sh.at(f.conf.MapAddr(s.Addr), f.box, &f.wg, func(s *server) { f.seen(sh, s) })
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case fn := <-f.box.posts:
			fn()
		case d := <-f.doubts:
			f.doubted(d)
		}
	}
}

// doubted takes what the data path suspects: all servers of the shard are looked
// at at once.
func (f *replicatedFollower) doubted(d doubt) {
	if sh := f.shards[d.shard]; d.addr == sh.primary {
		sh.pace.hurry(suspense)
	}
}

// seen takes a look at a server.
func (f *replicatedFollower) seen(sh *replicatedShard, s *server) {
	sh.holdOver()
	if s.addr == sh.primary && !s.last.answered() {
		sh.pace.hurry(suspense / 3)
	}
	all, complete := sh.witnesses()
	for _, w := range all {
		sh.lineage.confirm(w)
	}
	if complete || sh.lineage.current != "" {
		f.consider(sh, sh.lineage.judge(all))
	}
	sh.tellReplicas()
}

// witnesses returns what all servers said last, and whether that is enough to
// begin with: each was asked, and none is a primary that is loading.
func (sh *replicatedShard) witnesses() (all []witness, complete bool) {
	complete = true
	for _, s := range sh.conf.Shards[sh.index].Servers {
		w := witness{addr: sh.conf.MapAddr(s.Addr)}
		last := &sh.servers[w.addr].last
		complete = complete && !last.asked.IsZero() && !(last.loading && last.isPrimary())
		if w.heard = last.answered() && !last.loading; w.heard {
			w.replication = last.replication
			if w.primary != "" {
				w.primary = sh.conf.MapAddr(w.primary)
			}
		}
		all = append(all, w)
	}
	return all, complete
}

// consider executes a verdict: at once if the last primary says itself that it is
// replaced, else when the servers have been asked again and it is the same.
func (f *replicatedFollower) consider(sh *replicatedShard, v verdict) {
	if v.do == keep {
		sh.pending = v
		sh.unhold()
		if sh.given.do == refuse || sh.given.do == await {
			f.give(sh, v) // it is over
		}
		return
	}
	if v == sh.given && (v.do == refuse || v.do == await) {
		return
	}
	if v != sh.pending {
		sh.pending, sh.since = v, time.Now()
		sh.pace.urge(suspense)
	}
	switch {
	case v.atOnce || sh.askedAgain(v):
		f.give(sh, v)
	case v.do == follow:
		sh.hold() // what the old one acknowledges now would be lost
	}
}

// askedAgain reports whether those that say that they are primary, and are the
// reason for a verdict, have said so since it was come to for the first time.
func (sh *replicatedShard) askedAgain(v verdict) bool {
	for _, s := range sh.servers {
		counts := s.addr == v.addr || v.do == refuse && s.last.isPrimary()
		if counts && !s.last.asked.After(sh.since) {
			return false
		}
	}
	return true
}

// give executes a verdict.
func (f *replicatedFollower) give(sh *replicatedShard, v verdict) {
	sh.given, sh.pending = v, verdict{}
	switch v.do {
	case keep:
		if sh.lineage.current != "" {
			sh.log.Info("it is certain again who is primary", "primary", sh.lineage.current)
		}
		sh.tell(sh.lineage.current, "")
	case follow:
		level := slog.LevelInfo
		if sh.lineage.current == v.addr {
			level = slog.LevelWarn // it may have lost its data
		}
		sh.log.Log(context.Background(), level, "following a primary", "primary", v.addr, "reason", v.why)
		all, _ := sh.witnesses()
		for _, w := range all {
			if w.addr == v.addr {
				sh.lineage.adopt(w)
			}
		}
		sh.tell(v.addr, "")
		f.setPrimary(sh.index, v.addr)
	case await:
		sh.log.Info("waiting for a primary", "reason", v.why)
		sh.tell("", "")
		sh.pace.urge(f.conf.FailoverWait + suspense)
	case refuse:
		sh.log.Error("writes are refused", "reason", v.why)
		sh.tell(sh.lineage.current, v.refuse)
	}
}
