package hatest

import (
	"context"
	"testing"
	"time"

	"ringway/hashring"
	"ringway/internal/redistest"
)

// Forced failovers, in which the former primary takes no part: clients go on within the
// time that the Cluster takes, and get no errors about slots.
func TestClusterFailoversByForceAreFollowed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 1)
	p, log := serveCluster(t, c, `timeout = "3s"`)
	r := Load{Clients: 8, Depth: 4, Lossy: true, Pause: time.Millisecond}.Start(t, p.Addr)
	r.Progress(50, waitLimit)
	for i, mode := range []string{"FORCE", "TAKEOVER"} {
		primary := c.Owner(i * hashring.Slots / 3)
		c.Failover(c.ReplicaOf(primary), mode)
		log.await(t, "was="+primary.Addr())
		r.Progress(50, waitLimit)
	}
	c.AwaitReplicas(3)
	frozen := c.Owner(hashring.Slots - 1)
	frozen.Stop()
	log.await(t, "was="+frozen.Addr())
	r.Progress(50, waitLimit)
	frozen.Cont()
	c.AwaitReplicas(3)
	r.Progress(50, waitLimit)
	report := r.Finish()
	if n := report.Counts[NotSent]; n > 0 {
		t.Errorf("%d requests failed that had only to wait", n)
	}
	if report.LongestGap > 8*time.Second { // twice the timeout, and some
		t.Errorf("a client waited for %s", report.LongestGap)
	}
}

// If no known server answers, the proxy asks those of the configuration again: the whole
// Cluster may have moved.
func TestMovedClusterIsFoundBySeeds(t *testing.T) {
	t.Parallel()
	redistest.SkipShort(t)
	old, fresh := startCluster(t, 1, 0), startCluster(t, 1, 0)
	fresh.Servers[0].Kill()
	p, log := serveCluster(t, &redistest.Cluster{Servers: []*redistest.Server{old.Servers[0], fresh.Servers[0]}})
	client := redistest.NewClient(t, p.Addr, "")
	ctx := context.Background()
	if err := client.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	fresh.Servers[0].Restart()
	old.Servers[0].Kill()
	log.await(t, "shard removed")
	redistest.Eventually(t, waitLimit, "the other Cluster serves", func() bool { return client.Set(ctx, "k", "v", 0).Err() == nil })
	if got := fresh.Servers[0].Do("GET", "k"); got != "$1\r\nv\r\n" {
		t.Errorf("got %q", got)
	}
}
