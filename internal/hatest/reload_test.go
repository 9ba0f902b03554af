package hatest_test

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/hatest"
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

// plain is a load whose requests all go over the connections that clients share.
var plain = hatest.Load{Clients: 8, Depth: 4, Plain: true, Strict: true, Pause: 4 * time.Millisecond}

// settingsOfReload are lines of a pool, another set for each n, that a reload can change while requests are under way.
func settingsOfReload(n int) []string {
	return []string{
		fmt.Sprintf(`timeout = "%ds"`, 5+n), fmt.Sprintf(`connect_timeout = "%ds"`, 3+n), fmt.Sprintf(`failover_wait = "%ds"`, 20+n),
		fmt.Sprintf(`client_connections = %d`, 100+n), fmt.Sprintf(`limits = { requests = %d, under_way = %d }`, 1_000_000+n, 10_000+n),
	}
}

var clientRequest = regexp.MustCompile(`(?m)^(?:\$\d+\r\n)?id=(\d+) .* name=ringway/\S+ .* cmd=(?:set|get|mset|mget|incr) `)

// carriers returns the ids of the connections over which each server has got clients' requests from the proxy.
func carriers(t *testing.T, servers []*redistest.Server) map[*redistest.Server][]string {
	t.Helper()
	seen := map[*redistest.Server][]string{}
	redistest.Eventually(t, failoverLimit, "each server has got requests", func() bool {
		for _, s := range servers {
			for _, m := range clientRequest.FindAllStringSubmatch(s.Do("CLIENT", "LIST"), -1) {
				if !slices.Contains(seen[s], m[1]) {
					seen[s] = append(seen[s], m[1])
				}
			}
		}
		return len(seen) == len(servers)
	})
	return seen
}

// checkKept fails the test for each connection that is gone.
func checkKept(t *testing.T, carriers map[*redistest.Server][]string) {
	t.Helper()
	for s, ids := range carriers {
		list := s.Do("CLIENT", "LIST")
		for _, id := range ids {
			if !regexp.MustCompile(`(?m)^(?:\$\d+\r\n)?id=` + id + ` `).MatchString(list) {
				t.Errorf("%s: connection %s is gone", s.Addr(), id)
			}
		}
	}
}

// Reloads of a pool that follows Sentinels, other Sentinels among what changes, cost no request and no connection
// to the primary. The Sentinels that are listed now are asked: the pool follows them when those from before
// can't be reached any more.
func TestReloadOfASentinelPool(t *testing.T) {
	t.Parallel()
	r := newSentinelRig(t)
	load := plain.Start(t, r.proxy.Addr)
	load.Progress(30, failoverLimit)
	primary := []*redistest.Server{r.primary()}
	before := carriers(t, primary)
	rounds(func(n int, last bool) {
		for i := range 12 {
			listed := fmt.Sprintf("sentinels = [%q, %q]", r.relays[i%3].Addr(), r.sentinels[(i+1)%3].Addr())
			r.proxy.Reload(append(settingsOfReload(n+i), `topology = "sentinel"`, `masters = ["s1"]`, listed)...)
			load.Progress(5, failoverLimit)
		}
	})
	r.proxy.Reload(append(settingsOfReload(0), `topology = "sentinel"`, `masters = ["s1"]`,
		fmt.Sprintf("sentinels = [%q, %q, %q]", r.sentinels[0].Addr(), r.sentinels[1].Addr(), r.sentinels[2].Addr()))...)
	for _, relay := range r.relays {
		relay.Cut()
	}
	load.Progress(30, failoverLimit)
	checkKept(t, before)
	r.failover(0)
	r.settled(primary[0], primary[0])
	load.Progress(100, failoverLimit)
	if load.Finish().Failed() > 0 {
		t.Error("clients met errors")
	}
}

// Reloads of a Cluster's pool, other entry addresses among what changes, cost no request and no connection to a
// server. The entry addresses that are listed now are asked, and the pool follows when those from before are gone.
func TestReloadOfAClusterPool(t *testing.T) {
	t.Parallel()
	c := redistest.NewCluster(t, 3, 1, redistest.Args("--cluster-node-timeout", "1000"))
	primaries := c.Primaries()
	// In front of a replica: the first requests may go to the entry address, and their connection is not one to keep.
	first := hatest.StartRelay(t, c.ReplicaOf(primaries[0]).Addr())
	p := hatest.Serve(t, append(settingsOfReload(0), `topology = "cluster"`, fmt.Sprintf("servers = [%q]", first.Addr()))...)
	load := plain.Start(t, p.Addr)
	load.Progress(30, failoverLimit)
	before := carriers(t, primaries)
	rounds(func(n int, last bool) {
		for i := range 12 {
			p.Reload(append(settingsOfReload(n+i), `topology = "cluster"`, fmt.Sprintf("servers = [%q]", c.Servers[i%len(c.Servers)].Addr()))...)
			load.Progress(5, failoverLimit)
		}
	})
	asked, err := net.Listen("tcp", "127.0.0.1:0") // which answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	asked.(*net.TCPListener).SetDeadline(time.Now().Add(failoverLimit))
	p.Reload(append(settingsOfReload(0), `topology = "cluster"`, fmt.Sprintf("servers = [%q, %q]", asked.Addr(), c.ReplicaOf(primaries[1]).Addr()))...)
	first.Cut()
	if conn, err := asked.Accept(); err != nil {
		t.Errorf("the entry address that is listed now is not asked: %v", err)
	} else {
		conn.Close()
	}
	load.Progress(30, failoverLimit)
	checkKept(t, before)
	c.Failover(c.ReplicaOf(primaries[0]), "")
	load.Progress(100, failoverLimit)
	if load.Finish().Failed() > 0 {
		t.Error("clients met errors")
	}
}
