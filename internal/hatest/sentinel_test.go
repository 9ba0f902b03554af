package hatest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/hatest"
	"ringway/internal/redistest"
)

// failoverLimit bounds a test's waits for steps of a failover, which take a few seconds.
const failoverLimit = 2 * time.Minute

// sentinelRig is a proxy in front of a primary with two replicas and three Sentinels, which
// call the primary down after a second.
type sentinelRig struct {
	t         *testing.T
	group     *redistest.Group
	servers   []*redistest.Server // of the group
	sentinels []*redistest.Server
	relays    []*hatest.Relay // through which the proxy reaches them
	proxy     *hatest.Proxy
}

func newSentinelRig(t *testing.T, lines ...string) *sentinelRig {
	t.Helper()
	r := &sentinelRig{t: t, group: redistest.StartGroup(t, 2, redistest.ConfigFile())}
	r.servers = append([]*redistest.Server{r.group.Primary}, r.group.Replicas...)
	r.sentinels = redistest.StartSentinels(t, 3, map[string]*redistest.Group{"s1": r.group})
	var listed, mapped []string
	for _, s := range r.sentinels {
		relay := hatest.StartRelay(t, s.Addr())
		r.relays = append(r.relays, relay)
		listed = append(listed, fmt.Sprintf("%q", relay.Addr()))
		mapped = append(mapped, fmt.Sprintf("%q = %q", s.Addr(), relay.Addr())) // they know each other
	}
	r.proxy = hatest.Serve(t, append([]string{
		`topology = "sentinel"`, `masters = ["s1"]`, `timeout = "3s"`,
		"sentinels = [" + strings.Join(listed, ", ") + "]", "address_map = { " + strings.Join(mapped, ", ") + " }",
	}, lines...)...)
	return r
}

// A planned failover loses no acknowledged write even if the proxy can't reach the Sentinel that
// leads it: replies wait until the replicas have the writes.
func TestPlannedFailoverByASentinelOutOfReachLosesNothing(t *testing.T) {
	for _, reachable := range []int{2, 1} {
		t.Run(fmt.Sprint(reachable, " reachable"), func(t *testing.T) {
			t.Parallel()
			r := newSentinelRig(t)
			load := writers
			load.Lossy = true // they are counted
			running := load.Start(t, r.proxy.Addr)
			done := 0
			rounds(func(n int, last bool) {
				running.Progress(30, failoverLimit)
				old := r.primary()
				for i := range 3 - reachable {
					r.relays[(n+i)%3].Cut()
				}
				r.failover(n % 3)
				r.settled(old, old)
				running.Progress(100, failoverLimit)
				for _, relay := range r.relays {
					relay.Mend()
				}
				r.settled(old)
				done++
			})
			report := running.Finish()
			t.Logf("%d acknowledged writes lost, of %d requests, in %d failovers", report.Lost, report.Counts[hatest.OK], done)
			if report.Lost > 0 {
				t.Error("acknowledged writes are lost")
			}
		})
	}
}

// With replica_acks = "always" the replicas have what was acknowledged, also when the primary dies.
func TestDeathOfAPrimaryLosesNothingThatReplicasAcknowledged(t *testing.T) {
	t.Parallel()
	r := newSentinelRig(t, `replica_acks = "always"`, `failover_wait = "20s"`)
	load := writers
	load.Lossy = true // they are counted
	running := load.Start(t, r.proxy.Addr)
	rounds(func(int, bool) {
		running.Progress(30, failoverLimit)
		old := r.primary()
		for _, s := range r.servers {
			if s != old {
				r.polled(s)
			}
		}
		running.Progress(30, failoverLimit)
		old.Kill()
		r.settled(old, old)
		running.Progress(100, failoverLimit)
		old.Restart()
		r.settled(old)
	})
	report := running.Finish()
	t.Logf("%d acknowledged writes lost, of %d requests", report.Lost, report.Counts[hatest.OK])
	if report.Lost > 0 {
		t.Error("acknowledged writes are lost")
	}
}

// polled waits until the proxy has asked a server for its role some more times.
func (r *sentinelRig) polled(s *redistest.Server) {
	r.t.Helper()
	asked := func() (n int) {
		_, calls, _ := strings.Cut(s.Do("INFO", "commandstats"), "cmdstat_role:calls=")
		fmt.Sscan(strings.SplitN(calls, ",", 2)[0], &n)
		return n
	}
	before := asked()
	redistest.Eventually(r.t, failoverLimit, "the proxy asks a replica for its role", func() bool { return asked() >= before+3 })
}

// primary returns the server that most Sentinels name as primary.
func (r *sentinelRig) primary() *redistest.Server {
	r.t.Helper()
	named := map[*redistest.Server]int{}
	for _, sentinel := range r.sentinels {
		reply := sentinel.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "s1")
		for _, s := range r.servers {
			if strings.Contains(reply, fmt.Sprintf("\r\n%d\r\n", s.Port())) {
				if named[s]++; 2*named[s] > len(r.sentinels) {
					return s
				}
			}
		}
	}
	return nil
}

// renamed waits until one of the Sentinels names another primary than old.
func (r *sentinelRig) renamed(old *redistest.Server) {
	r.t.Helper()
	redistest.Eventually(r.t, failoverLimit, "a Sentinel names another primary", func() bool {
		for _, sentinel := range r.sentinels {
			reply := sentinel.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "s1")
			if !strings.Contains(reply, fmt.Sprintf("\r\n%d\r\n", old.Port())) {
				return true
			}
		}
		return false
	})
}

// settled waits until all Sentinels agree on a primary other than old, and all
// other servers that run follow it.
func (r *sentinelRig) settled(old *redistest.Server, down ...*redistest.Server) *redistest.Server {
	r.t.Helper()
	var next *redistest.Server
	redistest.Eventually(r.t, failoverLimit, "all follow a new primary", func() bool {
		if next = r.primary(); next == nil || next == old {
			return false
		}
		for _, s := range r.servers {
			if s == next || isOneOf(s, down) {
				continue
			}
			if info := info(r.t, s, "replication"); !strings.Contains(info, "master_link_status:up") || !strings.Contains(info, fmt.Sprintf("master_port:%d\r", next.Port())) {
				return false
			}
		}
		return len(down) > 0 || r.allSeen()
	})
	return next
}

// allSeen reports whether every Sentinel knows both replicas as replicas. A Sentinel that
// still takes one for a primary would undo its next promotion.
func (r *sentinelRig) allSeen() bool {
	for _, sentinel := range r.sentinels {
		if strings.Count(sentinel.Do("SENTINEL", "REPLICAS", "s1"), "role-reported\r\n$5\r\nslave\r\n") != len(r.servers)-1 {
			return false
		}
	}
	return true
}

func isOneOf(s *redistest.Server, list []*redistest.Server) bool {
	for _, other := range list {
		if s == other {
			return true
		}
	}
	return false
}

// failover makes one of the Sentinels replace the primary, as soon as it can.
func (r *sentinelRig) failover(sentinel int) {
	r.t.Helper()
	redistest.Eventually(r.t, failoverLimit, "a failover begins", func() bool {
		return r.sentinels[sentinel].Do("SENTINEL", "FAILOVER", "s1") == "+OK\r\n"
	})
}

// writers is a small load, which leaves processor time to the servers.
var writers = hatest.Load{Clients: 8, Depth: 4, Pause: 4 * time.Millisecond}

// rounds calls round once, or again and again for the time of the long form. Last is true
// in the last round.
func rounds(round func(n int, last bool)) {
	end := time.Now().Add(hatest.Long(0))
	for n, last := 0, false; !last; n++ {
		last = !time.Now().Before(end)
		round(n, last)
	}
}

// A planned failover loses no acknowledged write and shows no error. Clients see a pause of
// the second that Sentinels need to announce the new primary. The old one accepts writes
// until it is demoted, ten seconds later.
func TestPlannedFailoverLosesNothingAndIsInvisible(t *testing.T) {
	t.Parallel()
	r := newSentinelRig(t)
	load := writers.Start(t, r.proxy.Addr)
	rounds(func(n int, last bool) {
		load.Progress(30, failoverLimit)
		old := r.primary()
		r.failover(n % 3)
		r.settled(old, old)
		load.Progress(100, failoverLimit)
		if !last {
			r.settled(old)
		}
	})
	report := load.Finish()
	if report.Failed() > 0 {
		t.Error("clients met errors")
	}
	if report.LongestGap > longest(2*time.Second) {
		t.Errorf("a pause of %v", report.LongestGap)
	}
}

// longest is the longest permitted gap. Short forms run beside other tests on machines that
// may be busy, so they find only large faults.
func longest(gap time.Duration) time.Duration {
	if hatest.Long(0) == 0 {
		gap += 5 * time.Second
	}
	return gap
}

// After a primary was killed, requests wait for the second after which Sentinels call it
// down, and 1.5 s more. Writes that it had not replicated are lost, and requests that it
// had received have an unknown outcome.
func TestKilledPrimaryCostsLittleMoreThanDownAfter(t *testing.T) {
	r := newSentinelRig(t)
	lossy := writers
	lossy.Lossy = true
	load := lossy.Start(t, r.proxy.Addr)
	var theirs time.Duration // that the Sentinels needed
	rounds(func(n int, last bool) {
		load.Progress(30, failoverLimit)
		old := r.primary()
		killed := time.Now()
		old.Kill()
		r.renamed(old)
		theirs = max(theirs, time.Since(killed))
		r.settled(old, old)
		load.Progress(30, failoverLimit)
		if !last {
			old.Restart()
			r.settled(old)
		}
	})
	report := load.Finish()
	if report.Counts[hatest.NotSent] > 0 {
		t.Error("requests failed that could have waited")
	}
	t.Logf("the Sentinels needed %v", theirs)
	if report.LongestGap > longest(max(2500*time.Millisecond, theirs+500*time.Millisecond)) {
		t.Errorf("a gap of %v", report.LongestGap)
	}
}

// A primary that stops and comes back, and still says that it is a primary, gets no
// writes.
func TestPrimaryThatWasAwayGetsNoWrites(t *testing.T) {
	t.Parallel()
	r := newSentinelRig(t)
	lossy := writers
	lossy.Lossy = true
	load := lossy.Start(t, r.proxy.Addr)
	rounds(func(n int, last bool) {
		load.Progress(30, failoverLimit)
		old := r.primary()
		old.Stop()
		r.settled(old, old)
		load.Progress(30, failoverLimit)
		old.Cont()
		load.Progress(30, failoverLimit) // it executes what it had got before it stopped
		before := writes(t, old)
		load.Progress(100, failoverLimit)
		if after := writes(t, old); old.IsPrimary() && after != before {
			t.Errorf("the old primary executed %d writes after its return", after-before)
		}
		if !last {
			r.settled(old)
		}
	})
	load.Finish()
}

// info returns a section of INFO; "" if the server does not answer: Sentinels that change
// a server's role end its connections.
func info(t *testing.T, s *redistest.Server, section string) string {
	return s.Client().Info(t.Context(), section).Val()
}

// writes returns how many SETs a server has executed.
func writes(t *testing.T, s *redistest.Server) (calls int) {
	_, after, _ := strings.Cut(info(t, s, "commandstats"), "cmdstat_set:calls=")
	fmt.Sscanf(after, "%d", &calls)
	return calls
}

// A Sentinel that missed a failover is not followed.
func TestStaleSentinelIsNotFollowed(t *testing.T) {
	t.Parallel()
	r := newSentinelRig(t)
	load := writers.Start(t, r.proxy.Addr)
	all := r.sentinels
	rounds(func(n int, last bool) {
		load.Progress(30, failoverLimit)
		old, stale := r.primary(), all[n%3]
		stale.Stop()
		r.sentinels = []*redistest.Server{all[(n+1)%3], all[(n+2)%3]}
		r.failover(0)
		r.settled(old, old)
		stale.Cont()
		load.Progress(100, failoverLimit)
		r.sentinels = all
		if !last {
			r.settled(old)
		}
	})
	if load.Finish().Failed() > 0 {
		t.Error("clients met errors")
	}
}

// Without Sentinels nothing changes. When they are back, the proxy follows them again.
func TestSentinelsMayAllBeDown(t *testing.T) {
	t.Parallel()
	r := newSentinelRig(t)
	load := writers.Start(t, r.proxy.Addr)
	rounds(func(n int, last bool) {
		load.Progress(30, failoverLimit)
		for _, s := range r.sentinels {
			s.Kill()
		}
		load.Progress(200, failoverLimit)
		for _, s := range r.sentinels {
			s.Restart()
		}
		old := r.primary()
		r.failover(n % 3)
		r.settled(old, old)
		load.Progress(30, failoverLimit)
		if !last {
			r.settled(old)
		}
	})
	if load.Finish().Failed() > 0 {
		t.Error("clients met errors")
	}
}
