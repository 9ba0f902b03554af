package pool

import (
	"fmt"
	"runtime"
	"testing"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pubsub"
)

// The Map in force may name shards that this loop does not know yet. The loop uses its own
// Map until it takes the new one.
func TestALoopTakesAMapWithShardsItDoesNotKnow(t *testing.T) {
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
	subs := subscriptions(l)
	sub, _, _ := subs.Subscribe(pubsub.Channel, "news", make(outcomes, 1))
	if len(l.shards) != 3 {
		t.Errorf("the loop knows %d shards, want 3", len(l.shards))
	}
	subs.Unsubscribe(sub, nil)
	l.Close()
	loop.Stop()
	loop.Run()
}

// Thousands of -MOVED, as after a failover that traffic notices first, make few Maps, and all
// of them are followed.
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

// A server that redirects to ever new addresses can't add shards without bound; those that
// there are can be reached.
func TestPrimariesThatAreMetAreBounded(t *testing.T) {
	p := followingPool(t, conf.Cluster, "127.0.0.1:1")
	l := runLocal(t, p)
	p.mu.Lock()
	for i := len(p.shards); i < maxShards; i++ {
		p.addShard("", fmt.Sprintf("127.0.0.2:%d", i))
	}
	p.mu.Unlock()
	p.SetCluster([]ClusterShard{{ID: "new", View: View{Primary: Member{Addr: "127.0.0.3:1"}}, Slots: []SlotRange{{0, 16383}}}})
	if shard := p.Map().ShardAt(0); shard != 0 {
		t.Errorf("a slot is of shard %d", shard)
	}
	done := make(chan struct{})
	l.loop.Post(func() {
		defer close(done)
		for reply, follows := range map[string]bool{
			"-MOVED 1 127.0.0.3:1\r\n": false, "-ASK 1 127.0.0.3:2\r\n": false, fmt.Sprintf("-MOVED 1 127.0.0.2:%d\r\n", maxShards-1): true,
		} {
			if _, ok := l.redirection(l.shards[0], []byte(reply)); ok != follows {
				t.Errorf("%s is followed: %t", reply[:len(reply)-2], ok)
			}
		}
	})
	<-done
}
