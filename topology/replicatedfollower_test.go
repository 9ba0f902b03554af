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

// followReplicated runs a follower of a shard of these servers.
func followReplicated(t *testing.T, servers ...*redistest.Server) (*recorder, *replicatedFollower) {
	t.Helper()
	c := haPool(conf.Replicated, "jobs1")
	for _, s := range servers {
		c.Shards[0].Servers = append(c.Shards[0].Servers, conf.Server{Name: s.Addr(), Network: "tcp", Addr: s.Addr(), Weight: 1})
	}
	to := newRecorder(t)
	f := newReplicatedFollower(c, to, testLog(t))
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

// startReplicated runs a primary with two replicas, and follows them.
func startReplicated(t *testing.T) (g *redistest.Group, to *recorder) {
	t.Helper()
	redistest.CheckLeaks(t)
	g = redistest.StartGroup(t, 2)
	to, _ = followReplicated(t, g.Replicas[0], g.Primary, g.Replicas[1])
	to.follows(g.Primary)
	to.reads(g.Replicas...)
	return g, to
}

func replicate(s, primary *redistest.Server) {
	s.Do("REPLICAOF", "127.0.0.1", strconv.Itoa(primary.Port()))
}

// refuses waits until writes are refused.
func (r *recorder) refuses() {
	r.t.Helper()
	r.eventually("writes are refused", func(v pool.View) bool { return strings.HasPrefix(v.Refuse, "ERR ") })
}

func TestFailoverCommandIsFollowed(t *testing.T) {
	g, to := startReplicated(t)
	next := g.Replicas[1]
	redistest.Eventually(t, time.Minute, "the replica is ready for FAILOVER", func() bool {
		return g.Primary.Do("FAILOVER", "TO", "127.0.0.1", strconv.Itoa(next.Port())) == "+OK\r\n"
	})
	to.follows(next)
	to.reads(g.Primary, g.Replicas[0]) // which follows the old one, and so the new one
}

func TestPromotionByHandIsFollowedAndTheOldPrimaryIsNot(t *testing.T) {
	g, to := startReplicated(t)
	next := g.Replicas[0]
	next.Do("REPLICAOF", "NO", "ONE")
	to.follows(next)
	g.Primary.Do("SET", "k", "v") // and so the old one is further than the new
	g.Primary.Restart()
	replicate(g.Replicas[1], next)
	to.reads(g.Replicas[1])
	replicate(g.Primary, next)
	to.reads(g.Replicas[1], g.Primary)
	if got := to.primaries(); len(got) != 2 {
		t.Errorf("primaries in turn: got %v", got)
	}
}

func TestKilledPrimaryIsFollowedByWhoIsPromotedByHand(t *testing.T) {
	g, to := startReplicated(t)
	g.Primary.Kill()
	to.reads()
	g.Replicas[1].Do("REPLICAOF", "NO", "ONE")
	to.follows(g.Replicas[1])
}

// Two primaries of which neither took over from the other get no writes.
func TestWritesAreRefusedWhileTwoUnrelatedServersArePrimary(t *testing.T) {
	redistest.CheckLeaks(t)
	g := redistest.StartGroup(t, 1)
	lone := redistest.Start(t)
	to, f := followReplicated(t, g.Primary, g.Replicas[0], lone)
	to.refuses()
	replicate(lone, g.Primary)
	to.follows(g.Primary)
	to.reads(g.Replicas[0], lone)
	// Once it is known who is primary, a replica that was restarted as primary,
	// with the data that it had in the beginning, changes nothing.
	lone.Kill()
	g.Primary.Do("SET", "k", strings.Repeat("v", 1000))
	redistest.Eventually(t, time.Minute, "the write is seen", func() bool {
		seen := make(chan int64)
		f.mailbox.post(func() { seen <- f.shards[0].history.last.offset })
		return <-seen > 1000
	})
	lone.Restart()
	to.reads(g.Replicas[0])
	g.Primary.Stop()
	to.refuses() // but it may not take the place of one that is away
	g.Primary.Cont()
	to.follows(g.Primary)
}

func TestWritesAreRefusedWhileTwoReplicasArePromoted(t *testing.T) {
	g, to := startReplicated(t)
	g.Primary.Stop()
	for _, r := range g.Replicas {
		r.Do("REPLICAOF", "NO", "ONE")
	}
	redistest.Eventually(t, time.Minute, "writes are refused, or one of them is followed", func() bool {
		v, _ := to.now()
		return v.Refuse != "" || v.Primary.Addr != g.Primary.Addr()
	})
	// Whoever was seen first is the primary, if they were seen one by one.
	next, other := g.Replicas[0], g.Replicas[1]
	if v, _ := to.now(); v.Refuse == "" && v.Primary.Addr == other.Addr() {
		next, other = other, next
	}
	replicate(other, next)
	to.follows(next)
	to.reads(other)
	g.Primary.Cont() // it still says that it is primary
	to.reads(other)
	if v, _ := to.now(); v.Primary.Addr != next.Addr() || v.Refuse != "" {
		t.Errorf("with the old primary back: %+v", v)
	}
}

func TestPlainRestartOfThePrimaryIsServed(t *testing.T) {
	g, to := startReplicated(t)
	g.Primary.Kill()
	to.reads()
	g.Primary.Restart()
	to.follows(g.Primary)
	to.reads(g.Replicas...)
	if got := to.primaries(); len(got) != 1 {
		t.Errorf("primaries in turn: got %v", got)
	}
}

func TestReplicaThatLosesItsPrimaryIsNotRead(t *testing.T) {
	g, to := startReplicated(t)
	replicate(g.Replicas[0], redistest.Start(t))
	to.reads(g.Replicas[1])
	replicate(g.Replicas[0], g.Primary)
	to.reads(g.Replicas...)
	to.knowsLag(g.Replicas[1], true)
	g.Replicas[1].Stop()
	to.reads(g.Replicas[0])
	to.knowsLag(g.Replicas[1], false)
	to.confirms()
	g.Replicas[1].Cont()
	to.reads(g.Replicas...)
	to.knowsLag(g.Replicas[1], true)
}
