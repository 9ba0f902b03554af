package topology

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/pool"
)

// followSentinels runs a follower of the master s1, which knows the first of the
// Sentinels only if it is to learn of the others.
func followSentinels(t *testing.T, sentinels []*redistest.Server) (*recorder, *sentinelFollower) {
	t.Helper()
	c := haPool(conf.Sentinel, "s1")
	for _, s := range sentinels {
		c.Sentinels = append(c.Sentinels, conf.Address{Network: "tcp", Addr: s.Addr()})
	}
	to := newRecorder(t)
	f := newSentinelFollower(c, to, testLog(t))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		f.run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return to, f
}

// startSentinels runs a primary with replicas and three Sentinels.
func startSentinels(t *testing.T, replicas int) (*redistest.Group, []*redistest.Server) {
	t.Helper()
	redistest.CheckLeaks(t)
	g := redistest.StartGroup(t, replicas)
	return g, redistest.StartSentinels(t, 3, map[string]*redistest.Group{"s1": g})
}

// takesWrites reports whether a server says that it is primary. A Sentinel that
// changes a server's role closes its connections, so the question may fail.
func takesWrites(t *testing.T, s *redistest.Server) bool {
	info, err := s.Client().Info(t.Context(), "replication").Result()
	return err == nil && strings.Contains(info, "role:master")
}

// promoted waits until a replica takes writes, and returns it.
func promoted(t *testing.T, replicas ...*redistest.Server) (p *redistest.Server) {
	t.Helper()
	redistest.Eventually(t, time.Minute, "a replica takes writes", func() bool {
		for _, r := range replicas {
			if takesWrites(t, r) {
				p = r
			}
		}
		return p != nil
	})
	return p
}

func TestPlannedFailoverHoldsWritesBeforeTheReplicaTakesThem(t *testing.T) {
	g, sentinels := startSentinels(t, 2)
	to, f := followSentinels(t, sentinels)
	to.follows(g.Primary)
	to.reads(g.Replicas...)
	if got := f.servers(); len(got) != 1 || got[0] != g.Primary.Addr() {
		t.Errorf("servers to ask for their version: got %v", got)
	}
	sentinels[1].Do("SENTINEL", "FAILOVER", "s1")
	redistest.Eventually(t, time.Minute, "writes are held", func() bool {
		_, held := to.now()
		return held
	})
	for _, r := range g.Replicas {
		if takesWrites(t, r) {
			t.Errorf("%s takes writes already", r.Addr())
		}
	}
	next := promoted(t, g.Replicas...)
	to.follows(next)
	if _, held := to.now(); held {
		t.Error("writes are held although the new primary is followed")
	}
	if got := to.primaries(); len(got) != 2 {
		t.Errorf("primaries in turn: got %v", got)
	}
	other := g.Replicas[0]
	if other == next {
		other = g.Replicas[1]
	}
	to.reads(other) // the old primary becomes a replica after ten seconds
}

// A Sentinel that missed a failover names the old primary, which says that it is primary, too.
func TestStaleSentinelIsNotFollowed(t *testing.T) {
	g, sentinels := startSentinels(t, 1)
	to, f := followSentinels(t, sentinels)
	to.follows(g.Primary)
	sentinels[2].Stop()
	g.Primary.Stop()
	to.follows(g.Replicas[0])
	redistest.Eventually(t, time.Minute, "the stale one is silent", func() bool {
		silent := make(chan bool)
		f.mailbox.post(func() {
			_, ok := f.shards[0].votes.answers[sentinels[2].Addr()]
			silent <- !ok
		})
		return <-silent
	})
	sentinels[0].Stop() // so that nobody tells the stale one, nor demotes the old primary
	sentinels[1].Stop()
	g.Primary.Cont()
	sentinels[2].Cont()
	// It may have heard of the failover by now, from messages that had come before.
	redistest.Eventually(t, time.Minute, "it is heard", func() bool {
		heard := make(chan bool)
		f.mailbox.post(func() {
			_, ok := f.shards[0].votes.answers[sentinels[2].Addr()]
			heard <- ok
		})
		return <-heard
	})
	v, held := to.now()
	if v.Primary.Addr != g.Replicas[0].Addr() || held {
		t.Errorf("followed %v, held %v", v.Primary, held)
	}
	if got := to.primaries(); len(got) != 2 {
		t.Errorf("primaries in turn: got %v", got)
	}
}

func TestPrimaryStaysWhileNoSentinelAnswersAndIsReplacedAfterwards(t *testing.T) {
	g, sentinels := startSentinels(t, 1)
	to, f := followSentinels(t, sentinels[:1]) // it learns of the others
	to.follows(g.Primary)
	redistest.Eventually(t, time.Minute, "all Sentinels are known", func() bool {
		known := make(chan int)
		f.mailbox.post(func() { known <- len(f.shards[0].votes.answers) })
		return <-known == 3
	})
	for _, s := range sentinels {
		s.Kill()
	}
	f.suspect(0, g.Primary.Addr(), pool.LostPrimary)
	redistest.Eventually(t, time.Minute, "nobody answers", func() bool {
		silent := make(chan bool)
		f.mailbox.post(func() { silent <- len(f.shards[0].votes.answers) == 0 })
		return <-silent
	})
	if got := to.primaries(); len(got) != 1 || got[0] != g.Primary.Addr() {
		t.Errorf("primaries in turn: got %v", got)
	}
	for _, s := range sentinels {
		s.Restart()
	}
	g.Primary.Kill()
	to.follows(g.Replicas[0])
}

func TestFailoverWithoutAGoodReplicaIsCalledOff(t *testing.T) {
	g, sentinels := startSentinels(t, 1)
	to, _ := followSentinels(t, sentinels)
	to.follows(g.Primary)
	g.Replicas[0].Do("CONFIG", "SET", "replica-priority", "0") // may not be promoted
	redistest.Eventually(t, time.Minute, "the Sentinel finds none", func() bool {
		return strings.HasPrefix(sentinels[0].Do("SENTINEL", "FAILOVER", "s1"), "-NOGOODSLAVE")
	})
	g.Primary.Kill()
	redistest.Eventually(t, time.Minute, "writes are held and go on", func() bool {
		to.mu.Lock()
		defer to.mu.Unlock()
		return strings.Contains(strings.Join(to.log, "\n"), "unhold")
	})
}

// A replica that closes its clients' connections may have been promoted, so writes wait until it
// tells its role. If it is still a replica, or is gone, they continue at once.
func TestReplicaThatEndsItsConnectionsHoldsWritesForAMoment(t *testing.T) {
	g, sentinels := startSentinels(t, 2)
	to, _ := followSentinels(t, sentinels)
	to.follows(g.Primary)
	to.reads(g.Replicas...)
	for name, end := range map[string]func(){
		"killed clients": func() { g.Replicas[0].Do("CLIENT", "KILL", "TYPE", "normal") },
		"killed replica": func() {
			g.Replicas[1].Kill()
			g.Replicas[1].Restart()
		},
	} {
		holds, unholds := to.times("hold replies"), to.times("unhold")
		redistest.Eventually(t, time.Minute, name+": writes are held", func() bool {
			if to.times("hold replies") > holds {
				return true
			}
			end() // again, since the close watcher may not be connected yet
			return false
		})
		redistest.Eventually(t, time.Minute, name+": writes go on", func() bool { return to.times("unhold") > unholds })
	}
	if got := to.primaries(); len(got) != 1 {
		t.Errorf("primaries %v", got)
	}
}

// A primary that has become a replica may be promoted again.
func TestReplicaThatWasPrimaryBeforeHoldsWritesToo(t *testing.T) {
	g, sentinels := startSentinels(t, 1)
	to, _ := followSentinels(t, sentinels)
	to.follows(g.Primary)
	sentinels[0].Do("SENTINEL", "FAILOVER", "s1")
	to.follows(g.Replicas[0])
	g.Primary.Do("REPLICAOF", "127.0.0.1", strconv.Itoa(g.Replicas[0].Port())) // Sentinel does so after ten seconds
	to.reads(g.Primary)
	holds := to.times("hold replies")
	redistest.Eventually(t, time.Minute, "writes are held", func() bool {
		g.Primary.Do("CLIENT", "KILL", "TYPE", "normal") // again, since the close watcher may not be connected yet
		return to.times("hold replies") > holds
	})
}

// While a Sentinel is silent, any failover may be one that nobody announces: replies wait for the replicas.
func TestRepliesWaitForReplicasWhileASentinelIsSilent(t *testing.T) {
	g, sentinels := startSentinels(t, 2)
	to, _ := followSentinels(t, sentinels)
	to.follows(g.Primary)
	to.waitsFor(0)
	sentinels[2].Stop()
	to.waitsFor(2)
	g.Replicas[0].Kill()
	to.waitsFor(1)
	sentinels[2].Cont()
	to.waitsFor(0)
}
