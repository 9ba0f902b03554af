package hatest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// replicated returns the settings of a pool of one shard without Sentinels.
func replicated(servers []*redistest.Server, lines ...string) []string {
	return append(append([]string{`topology = "replicated"`, `probe_interval = "50ms"`}, lines...),
		"[[pools.alpha.shards]]", `name = "s1"`, Servers(servers...))
}

// gets returns how many GETs a server has executed.
func gets(s *redistest.Server) (n int) {
	_, after, _ := strings.Cut(s.Do("INFO", "commandstats"), "cmdstat_get:calls=")
	fmt.Sscan(strings.SplitN(after, ",", 2)[0], &n)
	return n
}

// readFrom sends some GETs and returns how many of them each server has executed.
func readFrom(c *redistest.Conn, servers []*redistest.Server) (done []int) {
	for _, s := range servers {
		done = append(done, -gets(s))
	}
	for range 20 {
		c.Do("GET", "key")
	}
	for i, s := range servers {
		done[i] += gets(s)
	}
	return done
}

// awaitReads waits until one server executes all reads.
func awaitReads(t *testing.T, what string, c *redistest.Conn, servers []*redistest.Server, at int) {
	t.Helper()
	var last []int
	defer func() {
		if t.Failed() {
			t.Logf("reads went to %v", last)
		}
	}()
	redistest.Eventually(t, time.Minute, what, func() bool {
		last = readFrom(c, servers)
		return last[at] == 20
	})
}

func TestReadsStayInTheZone(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 2)
	servers := append([]*redistest.Server{g.Primary}, g.Replicas...)
	for here := range servers {
		t.Run(strconv.Itoa(here), func(t *testing.T) {
			var zones []string
			for i, s := range servers {
				zones = append(zones, fmt.Sprintf("z%d = [%q]", i, s.Addr()))
			}
			p := Serve(t, append(replicated(servers, `read_from = "zone"`, "zones = { "+strings.Join(zones, ", ")+" }"),
				"[proxy]", fmt.Sprintf(`zone = "z%d"`, here))...)
			awaitReads(t, "reads in the zone", p.Dial(), servers, here)
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		p := Serve(t, append(replicated(servers, `read_from = "zone"`, fmt.Sprintf("zones = { z1 = [%q] }", servers[1].Addr())),
			"[proxy]", `zone = "elsewhere"`)...)
		awaitReads(t, "reads from the primary", p.Dial(), servers, 0)
	})
}

// A replica that is cut off from its primary counts as connected for a minute, and answers
// with old values.
func TestReplicaThatLagsIsNotRead(t *testing.T) {
	t.Parallel()
	redistest.SkipShort(t)
	primary, replica := redistest.Start(t), redistest.Start(t)
	f := forward(t, primary.Addr())
	host, port, _ := strings.Cut(f.addr, ":")
	replica.Do("REPLICAOF", host, port)
	redistest.Eventually(t, time.Minute, "the replica follows", func() bool {
		return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up")
	})
	servers := []*redistest.Server{primary, replica}
	p := Serve(t, replicated(servers, `read_from = "prefer_replica"`, `max_replica_lag = "2s"`,
		fmt.Sprintf("address_map = { %q = %q }", f.addr, primary.Addr()))...)
	c := p.Dial()
	c.Do("SET", "key", "old")
	awaitReads(t, "reads from the replica", c, servers, 1)

	resume := f.hold()
	c.Do("SET", "key", "new")
	awaitReads(t, "reads from the primary", c, servers, 0)
	if got := c.Do("GET", "key"); got != "$3\r\nnew\r\n" {
		t.Errorf("a read got %q", got)
	}
	if !strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") {
		t.Error("the replica has noticed by itself, so the test shows nothing")
	}
	resume()
	awaitReads(t, "reads from the replica again", c, servers, 1)
	if got := c.Do("GET", "key"); got != "$3\r\nnew\r\n" {
		t.Errorf("a read got %q", got)
	}
}

// Of servers with the same latency either may be read; a slower one is not.
func TestReadsGoToTheNearest(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	servers := []*redistest.Server{g.Primary, g.Replicas[0]}
	setting, all := behind(t, servers...)
	for slow, s := range servers {
		t.Run(strconv.Itoa(slow), func(t *testing.T) {
			all[s].delay(20 * time.Millisecond)
			defer all[s].delay(0)
			p := Serve(t, replicated(servers, `read_from = "lowest_latency"`, setting)...)
			awaitReads(t, "reads from the nearest", p.Dial(), servers, 1-slow)
		})
	}
}
