package pool

import (
	"fmt"
	"testing"
	"time"

	"ringway/conf"
)

// A shard whose primary gets a new address over and over leaves no counts behind for ever.
func TestCountsOfServersThatAreGoneAreForgotten(t *testing.T) {
	p := followingPool(t, conf.Sentinel, "127.0.0.1:1")
	l := localsOf(t, p, 1)[0]
	sh := l.shards[0]
	for port := 2; port <= 50; port++ {
		sh.follow(serving{primary: p.serverAt(fmt.Sprint("127.0.0.1:", port), 0)})
	}
	if n := len(l.stats); n != 50 {
		t.Fatalf("%d servers were counted, want 50", n)
	}
	now := int64(time.Since(started))
	l.sweepCounts(now, now-int64(countsKeptFor))
	if n := len(l.stats); n != 50 {
		t.Errorf("%d servers at once, want 50: who looks now and then shall see the last counts", n)
	}
	l.sweepCounts(now+1, now)
	if l.stats[sh.primary] == nil || len(l.stats) != 1 {
		t.Errorf("%d servers are left, want the one that serves the shard", len(l.stats))
	}

	// What is about to be forgotten is shown by no loop, so that a sum of several does not go down.
	gone := p.byAddr["127.0.0.1:2"]
	l.newConn(gone, gone.config(l.connSets[0].kind, useShared), ignored{})
	if n := len(l.Figures()); n != 2 {
		t.Fatalf("figures of %d servers, want 2", n)
	}
	gone.usedAt.Store(int64(time.Since(started) - countsKeptFor))
	if figures := l.Figures(); len(figures) != 1 || figures[0].Addr != sh.primary.addr {
		t.Errorf("%v", figures)
	}
}
