package hatest_test

import (
	"strconv"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/server"
)

// Reloads of a pool whose primary changes cost no request, and the pool still follows after them.
func TestReloadWhileFollowingPrimaries(t *testing.T) {
	t.Parallel()
	r := newReplicatedRig(t)
	load := writers.Start(t, r.proxy.Addr)
	rounds(func(n int, last bool) {
		for i := range 10 {
			load.Progress(5, failoverLimit)
			now := *r.proxy.Server().Conf()
			now.Pools = append([]conf.Pool(nil), now.Pools...)
			now.Pools[0].MaxReplicaLag = time.Duration(10+i) * time.Second
			if _, err := r.proxy.Server().Reload(&now, server.ReloadOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		next := r.other(n)
		redistest.Eventually(t, failoverLimit, "a failover begins", func() bool {
			return r.primary.Do("FAILOVER", "TO", "127.0.0.1", strconv.Itoa(next.Port())) == "+OK\r\n"
		})
		redistest.Eventually(t, failoverLimit, "the roles are swapped", next.IsPrimary)
		r.primary = next
		load.Progress(100, failoverLimit)
		r.follow(r.servers...)
	})
	if report := load.Finish(); report.Failed() > 0 {
		t.Error("clients met errors")
	}
}
