package redistest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// clusterSlots is how many hash slots a Redis Cluster has.
const clusterSlots = 16384

// StartCluster runs a Redis Cluster of primaries with the same number of replicas each,
// and returns when all servers agree that it is complete. Slots are spread evenly and
// in order over groups 0, 1, and so on. A server counts as down after two seconds; opts
// may override that. A server's Restart keeps its place in the Cluster, not its data.
// The servers' bus listens at their ports plus 10000.
func StartCluster(t testing.TB, primaries, replicasEach int, opts ...Option) []*Group {
	t.Helper()
	if primaries+replicasEach > 1 {
		SkipShort(t)
	}
	opts = append([]Option{Args("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")}, opts...)
	groups := make([]*Group, primaries)
	var all []*Server
	for i := range groups {
		g := &Group{Primary: Start(t, opts...), Replicas: StartN(t, replicasEach, opts...)}
		groups[i] = g
		all = append(append(all, g.Primary), g.Replicas...)
	}
	for i, g := range groups {
		from, to := i*clusterSlots/primaries, (i+1)*clusterSlots/primaries-1
		g.Primary.must(t, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(from), strconv.Itoa(to))
	}
	for i, s := range all {
		// Different epochs from the start: servers with the same epoch would take
		// seconds to change that.
		s.must(t, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		all[0].must(t, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(s.peerPort()))
	}
	for _, s := range all {
		s.eventuallySays(t, fmt.Sprintf("cluster_known_nodes:%d\r\n", len(all)), "CLUSTER", "INFO")
	}
	for _, g := range groups {
		g.attach(t)
	}
	awaitWhole(t, all, primaries)
	return groups
}

// must sends a request and fails the test unless the reply is OK.
func (s *Server) must(t testing.TB, request ...string) {
	t.Helper()
	if reply := s.Do(request...); reply != "+OK\r\n" {
		t.Fatalf("%s: reply to %q: %q", s.Addr(), request, reply)
	}
}

// attach makes the group's replicas follow its primary, and waits until they do.
func (g *Group) attach(t testing.TB) {
	t.Helper()
	if len(g.Replicas) == 0 {
		return
	}
	_, id, _ := strings.Cut(g.Primary.Do("CLUSTER", "MYID"), "\r\n")
	for _, r := range g.Replicas {
		// A server that is known may still be in handshake; then no replica can follow
		// it.
		r.eventuallySays(t, "+OK\r\n", "CLUSTER", "REPLICATE", strings.TrimSpace(id))
	}
	for _, r := range g.Replicas {
		r.eventuallySays(t, "master_link_status:up", "INFO", "replication")
	}
}

// awaitWhole waits until every server sees all slots served, every other server
// connected, and which servers are replicas.
func awaitWhole(t testing.TB, all []*Server, primaries int) {
	t.Helper()
	for _, s := range all {
		s.eventuallySays(t, "cluster_state:ok\r\n", "CLUSTER", "INFO")
		var nodes string
		if !poll(startTimeout, s.Exited(), func() bool {
			nodes = s.Do("CLUSTER", "NODES")
			return strings.Count(nodes, "slave ") == len(all)-primaries &&
				!strings.Contains(nodes, "handshake") && !strings.Contains(nodes, "disconnected") &&
				!strings.Contains(nodes, "fail")
		}) {
			t.Fatalf("waiting for %s to see the whole Cluster: last was\n%s", s.Addr(), nodes)
		}
	}
}
