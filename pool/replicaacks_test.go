package pool

import (
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/resp"
)

// ackRig is a shard whose primary's replies wait for its one replica.
type ackRig struct {
	*heldRepliesRig
	group *redistest.Group
}

func newAckRig(t *testing.T) *ackRig {
	g := redistest.StartGroup(t, 1)
	redistest.Eventually(t, time.Minute, "the replica acknowledges", func() bool { return g.Primary.Do("WAIT", "1", "0") == ":1\r\n" })
	r := &ackRig{&heldRepliesRig{t: t, got: make(replies, 8)}, g}
	r.pool = followingPool(t, conf.Sentinel, g.Primary.Addr())
	r.local = runLocal(t, r.pool)
	r.pool.SetReplicaAcks(0, 1)
	r.send("SET", "k", "1")
	r.expect("+OK")
	return r
}

// waits waits until replies wait for an answer of the replica.
func (r *ackRig) waits() {
	r.t.Helper()
	redistest.Eventually(r.t, time.Minute, "replies wait", func() (is bool) {
		r.on(func() {
			a := r.local.shards[0].acker
			is = a.asking && len(a.asked) > 0
		})
		return is
	})
	if len(r.got) > 0 {
		r.t.Fatalf("%q though the replica has not acknowledged", <-r.got)
	}
}

// stayed makes what waits wait for longer than a stopped test may take.
func (r *ackRig) stayed() { r.on(func() { r.local.shards[0].setMustWait(true) }) }

func TestRepliesWaitForTheReplica(t *testing.T) {
	r := newAckRig(t)
	r.stayed()
	r.group.Replicas[0].Stop()
	r.send("INCR", "n")
	r.send("INCR", "n")
	r.waits()
	if n := r.group.Primary.Do("GET", "n"); !strings.Contains(n, "2") {
		t.Errorf("the primary has %q", n)
	}
	r.group.Replicas[0].Cont()
	r.expect(":1")
	r.expect(":2")
}

// Dedicated connections, those that exist and new ones, wait as well.
func TestRepliesOfDedicatedConnectionsWaitForTheReplica(t *testing.T) {
	r := newAckRig(t)
	acquire := func() {
		r.on(func() {
			c, err := r.local.ConnSet(resp.RESP2, 0).Acquire(0)
			if err != nil {
				t.Error(err)
				return
			}
			c.SendUntimed([]byte(redistest.Request("INCR", "n")), r.got, 0)
		})
	}
	r.pool.SetReplicaAcks(0, 0)
	r.group.Replicas[0].Stop()
	acquire()
	r.expect(":1")
	r.pool.SetReplicaAcks(0, 1)
	r.settle()
	r.stayed()
	acquire()
	r.waits()
	r.group.Replicas[0].Cont()
	r.expect(":2")
}

// Replies wait for a second at most. After that they do not wait, until the replica is there again.
func TestRepliesDoNotWaitForAReplicaThatIsGone(t *testing.T) {
	r := newAckRig(t)
	r.group.Replicas[0].Stop()
	r.send("INCR", "n")
	r.expect(":1")
	lapsed := func() (is bool) {
		r.on(func() { is = r.local.shards[0].acker.lapsed })
		return is
	}
	if !lapsed() {
		t.Error("the reply came, and replies wait")
	}
	r.send("INCR", "n")
	r.expect(":2")
	r.group.Replicas[0].Cont()
	redistest.Eventually(t, time.Minute, "replies wait again", func() bool { return !lapsed() })
	r.stayed()
	r.group.Replicas[0].Stop()
	r.send("INCR", "n")
	r.waits()
	r.group.Replicas[0].Cont()
	r.expect(":3")
}

// What waits when it turns out that another server is primary is of unknown outcome, that of a
// blocked client included.
func TestRepliesThatWaitAreGivenUpWithTheirPrimary(t *testing.T) {
	r := newAckRig(t)
	next := redistest.Start(t)
	r.stayed()
	r.group.Replicas[0].Stop()
	r.send("INCR", "n")
	r.on(func() {
		c, err := r.local.ConnSet(resp.RESP2, 0).Acquire(0)
		if err != nil {
			t.Error(err)
			return
		}
		c.SendUntimed([]byte(redistest.Request("INCR", "n")), r.got, 0)
	})
	r.waits()
	redistest.Eventually(t, time.Minute, "both wait", func() (both bool) {
		r.on(func() {
			a := r.local.shards[0].acker
			both = len(a.asked)+len(a.waiting) == 2
		})
		return both
	})
	r.pool.SetView(0, View{Primary: Member{Addr: next.Addr()}})
	r.expect("(sent)")
	r.expect("(sent)")
	r.pool.SetReplicaAcks(0, 0)
	r.send("INCR", "n")
	r.expect(":1")
}
