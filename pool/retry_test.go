package pool

import (
	"slices"
	"testing"

	"ringway/conf"
)

// A unit that waits in vain gets as many replies as it has requests: its Receiver counts
// them.
func TestUnitThatIsGivenUpGetsAllItsReplies(t *testing.T) {
	got := make(replies, 8)
	rt := &retry{shard: &localShard{}, to: got, replies: 3, lastRefusal: []byte("-LOADING x\r\n")}
	rt.giveUp()
	if len(got) != 3 {
		t.Errorf("%d replies, want 3", len(got))
	}
}

// A request that comes back goes before those that were behind it and wait already.
func TestRequestThatComesBackKeepsItsPlace(t *testing.T) {
	var l retryLine
	for _, number := range []uint64{2, 5, 1, 3} {
		l.add(&retry{number: number})
	}
	var got []uint64
	for _, e := range l {
		got = append(got, e.number)
	}
	if want := []uint64{1, 2, 3, 5}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A primary that -MOVED named first has two shards once the control plane knows it. A
// redirection must name the control plane's, or requests change their order.
func TestRedirectionGoesToThePrimaryThatIsKnown(t *testing.T) {
	p := followingPool(t, conf.Cluster, "127.0.0.1:1")
	l := runLocal(t, p)
	done := make(chan *localShard)
	p.SetCluster([]ClusterShard{{ID: "a", View: View{Primary: Member{Addr: "127.0.0.1:1"}}, Slots: []SlotRange{{0, 16383}}}})
	l.loop.Post(func() { l.learn(redirection{kind: Moved, slot: 1, addr: "127.0.0.1:2"}) })
	l.loop.Post(func() {
		p.SetCluster([]ClusterShard{{ID: "a", View: View{Primary: Member{Addr: "127.0.0.1:2"}}, Slots: []SlotRange{{0, 16383}}}})
		done <- l.learn(redirection{kind: Moved, slot: 2, addr: "127.0.0.1:2"})
	})
	if sh := <-done; sh.index != 0 {
		t.Errorf("shard %d, want 0", sh.index)
	}
}
