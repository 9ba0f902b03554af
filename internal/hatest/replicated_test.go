package hatest_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/hatest"
	"ringway/internal/redistest"
)

// replicatedRig is a proxy in front of a primary with two replicas, without Sentinels.
type replicatedRig struct {
	t       *testing.T
	primary *redistest.Server
	servers []*redistest.Server
	proxy   *hatest.Proxy
	written int // by served
}

func newReplicatedRig(t *testing.T) *replicatedRig {
	t.Helper()
	g := redistest.StartGroup(t, 2)
	r := &replicatedRig{t: t, primary: g.Primary, servers: append([]*redistest.Server{g.Primary}, g.Replicas...)}
	r.proxy = hatest.Serve(t, `topology = "replicated"`, `timeout = "3s"`, `probe_interval = "500ms"`,
		"[[pools.alpha.shards]]", `name = "jobs1"`, hatest.Servers(r.servers...))
	return r
}

// other returns a server that is not the primary.
func (r *replicatedRig) other(n int) *redistest.Server {
	for i := range r.servers {
		if s := r.servers[(n+i)%len(r.servers)]; s != r.primary {
			return s
		}
	}
	panic("bug: no other server")
}

// follow makes servers replicas of the primary, and waits until they follow it.
func (r *replicatedRig) follow(servers ...*redistest.Server) {
	r.t.Helper()
	for _, s := range servers {
		if s != r.primary {
			s.Do("REPLICAOF", "127.0.0.1", strconv.Itoa(r.primary.Port()))
		}
	}
	redistest.Eventually(r.t, failoverLimit, "they follow", func() bool {
		for _, s := range servers {
			if s != r.primary && !strings.Contains(info(r.t, s, "replication"), "master_link_status:up") {
				return false
			}
		}
		return true
	})
}

// served waits until the primary executes a write that came through the proxy.
func (r *replicatedRig) served() {
	r.t.Helper()
	c := r.proxy.Dial()
	redistest.Eventually(r.t, failoverLimit, "the primary is written to", func() bool {
		r.written++
		value := strconv.Itoa(r.written)
		c.Send(redistest.Request("SET", "served", value))
		c.Reply()
		return r.primary.Do("GET", "served") == fmt.Sprintf("$%d\r\n%s\r\n", len(value), value)
	})
}

// FAILOVER swaps a primary with a replica. No write is lost, and clients get no error.
func TestFailoverCommandLosesNothingAndShowsNothing(t *testing.T) {
	t.Parallel()
	r := newReplicatedRig(t)
	load := writers.Start(t, r.proxy.Addr)
	rounds(func(n int, last bool) {
		load.Progress(30, failoverLimit)
		next := r.other(n)
		redistest.Eventually(t, failoverLimit, "a failover begins", func() bool {
			return r.primary.Do("FAILOVER", "TO", "127.0.0.1", strconv.Itoa(next.Port())) == "+OK\r\n"
		})
		redistest.Eventually(t, failoverLimit, "the roles are swapped", next.IsPrimary)
		r.primary = next
		load.Progress(100, failoverLimit)
		r.follow(r.servers...)
	})
	report := load.Finish()
	if report.Failed() > 0 {
		t.Error("clients met errors")
	}
	if report.LongestGap > longest(3*time.Second) { // of which Redis pauses clients for most
		t.Errorf("a pause of %v", report.LongestGap)
	}
}

// After a promotion by hand there are two primaries for a moment. The new one gets the
// writes as soon as two polls have shown it, and the old one gets none.
func TestPromotionByHandMovesAllWrites(t *testing.T) {
	t.Parallel()
	r := newReplicatedRig(t)
	lossy := writers
	lossy.Lossy = true // what the old one acknowledges in the meantime
	load := lossy.Start(t, r.proxy.Addr)
	rounds(func(n int, last bool) {
		load.Progress(30, failoverLimit)
		old := r.primary
		r.primary = r.other(n)
		r.primary.Do("REPLICAOF", "NO", "ONE")
		r.served()
		load.Progress(30, failoverLimit)
		before := writes(t, old)
		load.Progress(100, failoverLimit)
		if after := writes(t, old); after != before {
			t.Errorf("the old primary executed %d writes more", after-before)
		}
		r.follow(r.servers...)
		load.Progress(30, failoverLimit)
	})
	if load.Finish().Failed() > 0 {
		t.Error("clients met errors")
	}
}

// After a primary has died, the proxy follows the replica that is promoted by hand, and
// not the old primary when it comes back.
func TestDeadPrimaryIsReplacedByHand(t *testing.T) {
	t.Parallel()
	r := newReplicatedRig(t)
	lossy := writers
	lossy.Lossy = true
	load := lossy.Start(t, r.proxy.Addr)
	rounds(func(n int, last bool) {
		load.Progress(30, failoverLimit)
		old := r.primary
		old.Kill()
		r.primary = r.other(n)
		r.primary.Do("REPLICAOF", "NO", "ONE")
		for _, s := range r.servers {
			if s != old {
				r.follow(s)
			}
		}
		load.Progress(30, failoverLimit)
		old.Restart()
		load.Progress(100, failoverLimit)
		if n := writes(t, old); old.IsPrimary() && n > 0 {
			t.Errorf("the old primary executed %d writes", n)
		}
		r.follow(old)
	})
	report := load.Finish()
	if report.Counts[hatest.NotSent] > 0 {
		t.Error("requests failed that could have waited")
	}
	if report.LongestGap > longest(2*time.Second) {
		t.Errorf("a gap of %v", report.LongestGap)
	}
}

// Two primaries of which neither descends from the other get no writes until one is
// demoted.
func TestTwoPrimariesGetNoWrites(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	p := hatest.Serve(t, `topology = "replicated"`, `probe_interval = "200ms"`,
		"[[pools.alpha.shards]]", `name = "jobs1"`, hatest.Servers(servers...))
	c := p.Dial()
	set := func() string {
		c.Send(redistest.Request("SET", "k", "v"))
		return c.Reply()
	}
	redistest.Eventually(t, failoverLimit, "writes are refused", func() bool {
		return strings.HasPrefix(set(), "-ERR 2 servers of shard jobs1 say that they are primary")
	})
	for range 100 {
		if reply := set(); !strings.HasPrefix(reply, "-ERR 2 servers") {
			t.Fatalf("reply %q", reply)
		}
	}
	for _, s := range servers {
		if n := writes(t, s); n > 0 {
			t.Errorf("%s executed %d writes", s.Addr(), n)
		}
	}
	servers[1].Do("REPLICAOF", "127.0.0.1", strconv.Itoa(servers[0].Port()))
	redistest.Eventually(t, failoverLimit, "writes are executed", func() bool { return set() == "+OK\r\n" })
	if n := writes(t, servers[1]); n > 1 || writes(t, servers[0]) == 0 {
		t.Errorf("the demoted one executed %d writes", n)
	}
}

func TestVersionIsLearntFromThePrimary(t *testing.T) {
	t.Parallel()
	r := newReplicatedRig(t)
	version := r.primary.Client().InfoMap(t.Context(), "server").Item("Server", "redis_version")
	c := r.proxy.Dial()
	redistest.Eventually(t, failoverLimit, "clients are told the version "+version, func() bool {
		c.Send(redistest.Request("HELLO", "2"))
		return strings.Contains(c.Reply(), "\r\n"+version+"\r\n")
	})
}
