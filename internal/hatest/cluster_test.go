package hatest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/hashring"
	"ringway/internal/redistest"
)

// nodeTimeout is the cluster-node-timeout of these tests' Clusters.
const nodeTimeout = time.Second

// startCluster runs a Cluster that notices failures quickly.
func startCluster(t *testing.T, primaries, replicasEach int, more ...string) *redistest.Cluster {
	t.Helper()
	args := append([]string{"--cluster-node-timeout", fmt.Sprint(nodeTimeout.Milliseconds()), "--repl-timeout", "5"}, more...)
	return redistest.NewCluster(t, primaries, replicasEach, redistest.Args(args...))
}

// serveCluster runs a proxy whose configuration names two of the servers.
func serveCluster(t *testing.T, c *redistest.Cluster, lines ...string) (*Proxy, *logText) {
	t.Helper()
	log := &logText{}
	handler := slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the proxy:\n%s", log)
		}
	})
	lines = append([]string{`topology = "cluster"`, Servers(c.Servers[:min(2, len(c.Servers))]...)}, lines...)
	return ServeLog(t, slog.New(handler), lines...), log
}

// logText collects the log.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// await waits until the log contains a text.
func (l *logText) await(t *testing.T, text string) {
	t.Helper()
	redistest.Eventually(t, waitLimit, fmt.Sprintf("the log says %q", text), func() bool { return strings.Contains(l.String(), text) })
}

// reshard moves random slots, some of which the load uses, to random servers until the
// load shall end, and returns how many it moved.
func reshard(t *testing.T, c *redistest.Cluster, slots []int, until <-chan time.Time) (moved int) {
	t.Helper()
	for {
		select {
		case <-until:
			return moved
		default:
		}
		slot := slots[rand.N(len(slots))]
		from := c.Owner(slot)
		if from == nil {
			continue
		}
		primaries := c.Primaries()
		to := primaries[rand.N(len(primaries))]
		if to == from {
			continue
		}
		if err := c.Move(from, to, slot); err != nil {
			t.Fatal(err)
		}
		moved++
	}
}

// usedSlots are the slots of the keys that a load's clients use.
func (r *Running) usedSlots() (slots []int) {
	seen := map[int]bool{}
	add := func(key string) {
		if slot := int(hashring.Slot([]byte(key))); !seen[slot] {
			seen[slot] = true
			slots = append(slots, slot)
		}
	}
	for _, c := range r.clients {
		for _, reg := range c.own {
			add(reg.key)
		}
		add(c.list.key)
	}
	add(r.sharedCounter())
	for i := range r.load.Shared {
		add(fmt.Sprint(r.name, ":shared:", i))
	}
	return slots
}

// noErrors fails the test if clients got any error.
func noErrors(t *testing.T, report *Report) {
	t.Helper()
	if n := report.Failed(); n > 0 {
		t.Errorf("%d requests failed", n)
	}
	if report.Unchecked > 0 {
		t.Errorf("%d histories were not checked in time", report.Unchecked)
	}
}

func TestClusterIsLinearizable(t *testing.T) {
	t.Parallel()
	p, _ := serveCluster(t, startCluster(t, 3, 0))
	for _, load := range []Load{{Clients: 8}, {Clients: 8, Depth: 16}} {
		r := load.Start(t, p.Addr)
		r.Progress(300, waitLimit)
		noErrors(t, r.Finish())
	}
}

// While slots that the load uses move all the time, clients see no errors.
func TestReshardingIsInvisibleToClients(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 0)
	for _, load := range []Load{{Clients: 8, Pause: 2 * time.Millisecond}, {Clients: 8, Depth: 16, Pause: 5 * time.Millisecond}} {
		t.Run(fmt.Sprint("pipelined by ", load.Depth), func(t *testing.T) {
			p, _ := serveCluster(t, c)
			r := load.Start(t, p.Addr)
			moved := reshard(t, c, r.usedSlots(), time.After(Long(5*time.Second)))
			report := r.Finish()
			noErrors(t, report)
			t.Logf("%d slots moved", moved)
			if report.LongestGap > 2*time.Second {
				t.Errorf("a client waited for %s", report.LongestGap)
			}
		})
	}
}

// redis-cli moves many slots, first to one server and then back.
func TestReshardingByRedisCLIIsInvisibleToClients(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 0)
	p, log := serveCluster(t, c)
	r := Load{Clients: 8, Depth: 4, Pause: 2 * time.Millisecond}.Start(t, p.Addr)
	r.Progress(20, waitLimit)
	for end := time.Now().Add(Long(time.Second)); ; {
		for _, way := range [][2]int{{0, 1}, {1, 0}} {
			if err := c.Reshard(c.Servers[way[0]], c.Servers[way[1]], 500); err != nil {
				t.Fatal(err)
			}
		}
		if time.Now().After(end) {
			break
		}
	}
	r.Progress(20, waitLimit)
	noErrors(t, r.Finish())
	log.await(t, "slots moved")
}

// A planned failover loses nothing and fails nothing.
func TestPlannedClusterFailoverIsInvisibleToClients(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 1)
	p, log := serveCluster(t, c)
	// No script: one that the former primary refuses waits until the new one is known, and an INCR behind
	// it, which may make it known, does not wait for it.
	r := Load{Clients: 8, Depth: 4, NoScripts: true, Pause: time.Millisecond}.Start(t, p.Addr)
	r.Progress(50, waitLimit)
	var last [3]time.Time
	for end, n := time.Now().Add(Long(time.Second)), 0; n < 3 || time.Now().Before(end); n++ {
		// A Cluster does not vote twice about the same shard in this time.
		<-time.After(time.Until(last[n%3].Add(2*nodeTimeout + 500*time.Millisecond)))
		primary := c.Owner(n % 3 * hashring.Slots / 3)
		c.Failover(c.ReplicaOf(primary), "")
		last[n%3] = time.Now()
		r.Progress(50, waitLimit)
		c.AwaitReplicas(3)
	}
	report := r.Finish()
	noErrors(t, report)
	if report.LongestGap > nodeTimeout+1500*time.Millisecond {
		t.Errorf("a client waited for %s", report.LongestGap)
	}
	log.await(t, "failover: replica promoted")
	if info := redistest.Dial(t, "tcp", p.Addr).Do("INFO", "ringway"); !regexp.MustCompile(`\nfailovers:[1-9]`).MatchString(info) {
		t.Errorf("INFO tells of no failover: %q", info)
	}
}

// After a primary was killed, requests wait little longer than the Cluster takes to
// replace it. Only requests that were under way to it have an unknown outcome.
func TestKilledClusterPrimaryIsReplaced(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 1)
	p, log := serveCluster(t, c, `failover_wait = "20s"`) // a vote may have to be repeated
	r := Load{Clients: 8, Depth: 4, Lossy: true, Pause: time.Millisecond}.Start(t, p.Addr)
	r.Progress(50, waitLimit)
	var slowest time.Duration
	for end := time.Now().Add(Long(time.Second)); ; {
		primary := c.Primaries()[rand.N(3)]
		began := time.Now()
		primary.Kill()
		redistest.Eventually(t, waitLimit, "the Cluster serves again", func() bool { return c.Serves(3) })
		slowest = max(slowest, time.Since(began))
		r.Progress(50, waitLimit)
		primary.Restart()
		c.AwaitReplicas(3)
		if time.Now().After(end) {
			break
		}
	}
	report := r.Finish()
	t.Logf("the servers themselves took %s", slowest)
	if most := slowest + time.Second; report.LongestGap > most {
		t.Errorf("a client waited for %s, more than %s", report.LongestGap, most)
	}
	if n := report.Counts[NotSent]; n > 0 {
		t.Errorf("%d requests failed that had only to wait", n)
	}
	log.await(t, "failover: replica promoted")
}

// A server joins, takes slots, gives them back and leaves.
func TestServersJoinAndLeaveAClusterInvisibly(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 0)
	p, log := serveCluster(t, c)
	r := Load{Clients: 8, Depth: 4, Pause: 2 * time.Millisecond}.Start(t, p.Addr)
	r.Progress(20, waitLimit)
	added := c.Add()
	for i, slot := range r.usedSlots() {
		if i%2 == 0 {
			if err := c.Move(c.Owner(slot), added, slot); err != nil {
				t.Fatal(err)
			}
		}
	}
	log.await(t, "shard added")
	r.Progress(50, waitLimit)
	slots, err := c.Slots(added)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Move(added, c.Servers[0], slots...); err != nil {
		t.Fatal(err)
	}
	log.await(t, "shard removed")
	c.Remove(added)
	added.Kill()
	r.Progress(50, waitLimit)
	noErrors(t, r.Finish())
}

// If the servers that the configuration names are gone, the proxy asks those that it has
// learnt since.
func TestClusterIsFollowedWithoutItsSeeds(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 1)
	p, log := serveCluster(t, c)
	client := redistest.NewClient(t, p.Addr, "")
	ctx := context.Background()
	if err := client.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, seed := range c.Servers[:2] {
		c.Failover(c.ReplicaOf(seed), "")
	}
	for _, seed := range c.Servers[:2] {
		seed.Kill()
	}
	third := c.Servers[2]
	c.Failover(c.ReplicaOf(third), "")
	log.await(t, "was="+third.Addr())
	if got, err := client.Get(ctx, "k").Result(); got != "v" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
