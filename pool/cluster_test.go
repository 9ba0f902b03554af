package pool

import (
	"runtime"
	"testing"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pipeline"
)

type nobody struct{}

func (nobody) Joined(*Subscription, []byte)  {}
func (nobody) Message(*Subscription, []byte) {}
func (nobody) Missed()                       {}

// Another loop, or the control plane, may have put a shard on the Map of which
// this loop has not heard: it goes on with its own until it takes the other.
func TestALoopTakesAMapWithShardsItHasNotHeardOf(t *testing.T) {
	p, _ := newPool(t, 1, func(c *conf.Pool) { c.Topology = conf.Cluster })
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	l := p.NewLocal(loop, nil)
	p.SetCluster([]ClusterShard{
		{ID: "a", View: View{Primary: Member{Addr: "127.0.0.1:1"}}},
		{ID: "b", View: View{Primary: Member{Addr: "127.0.0.1:2"}}},
		{ID: "c", View: View{Primary: Member{Addr: "127.0.0.1:3"}}, Slots: []SlotRange{{0, 16383}}},
	})
	if shard := l.Map().Index([]byte("news")); shard != 0 {
		t.Errorf("placed on shard %d by a Map that was not taken", shard)
	}
	l.takeMap()
	sub, _, _ := l.Join(pipeline.Channel, "news", nobody{})
	if len(l.shards) != 3 {
		t.Errorf("the loop knows %d shards, want 3", len(l.shards))
	}
	l.Leave(sub, nil)
	l.Close()
	loop.Stop()
	loop.Run()
}

// Thousands of -MOVED, as a failover brings that traffic meets first, make a few
// Maps, and all of them are followed.
func TestManyMovedSlotsMakeFewMaps(t *testing.T) {
	p := followingPool(t, conf.Cluster, "127.0.0.1:1")
	l := runLocal(t, p)
	const slots = 5000
	var before, after runtime.MemStats
	done := make(chan bool)
	runtime.ReadMemStats(&before)
	l.loop.Post(func() {
		for slot := range slots {
			if to := l.learn(redirection{kind: Moved, slot: slot, addr: "127.0.0.1:2"}); to.index != 1 {
				t.Errorf("slot %d is of shard %d", slot, to.index)
			}
		}
		close(done)
	})
	<-done
	eventually(t, func() bool {
		for slot := range slots {
			if p.Map().ShardAt(slot) != 1 {
				return false
			}
		}
		return p.Map().ShardAt(slots) == 0
	})
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > slots*(32<<10)/4 {
		t.Errorf("%d MiB were allocated", got>>20)
	}
	eventually(t, func() bool {
		follows := make(chan bool)
		l.loop.Post(func() { follows <- l.Map() == p.Map() })
		return <-follows
	})
}
