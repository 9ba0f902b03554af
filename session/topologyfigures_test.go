package session_test

import (
	"fmt"
	"testing"
	"time"

	"ringway/internal/redistest"
	"ringway/server"
	"ringway/stats"
)

// A primary that is not known yet, one that is demoted, and its successor show in the figures.
func TestFiguresTellOfAFailover(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, nil)
	p.eventually(t, "the shard waits for a primary", func(f *server.Figures) bool { return f.Pools[0].ShardsHeld == 1 })
	pl.SetView(0, view(g.Primary))
	loops := uint64(len(p.server.Workers()))
	p.eventually(t, "it has one", func(f *server.Figures) bool {
		at := &f.Pools[0]
		return at.ShardsHeld == 0 && at.Moves.Held.Count() == loops
	})
	c := p.dial()
	c.Send(encode("SET", "k", "1"))
	c.expect("+OK\r\n")
	if at := p.server.Figures().Pools[0]; at.Topology.Failovers[0].Count != 0 || at.Moves.Resent != 0 {
		t.Errorf("before the failover: %+v, %d requests were sent again", at.Topology, at.Moves.Resent)
	}
	redistest.Eventually(t, 30*time.Second, "the replica has it", func() bool { return g.Replicas[0].Do("EXISTS", "k") == ":1\r\n" })
	g.Replicas[0].Do("REPLICAOF", "NO", "ONE")
	g.Primary.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(g.Replicas[0].Port()))
	c.Send(encode("SET", "k", "2"))
	p.eventually(t, "the refusal", func(f *server.Figures) bool {
		at := &f.Pools[0]
		return at.ShardsHeld == 1 && at.Moves.Redirections[stats.RedirectedReadOnly] > 0
	})
	pl.SetView(0, view(g.Replicas[0]))
	c.expect("+OK\r\n")
	at := p.eventually(t, "the new primary serves", func(f *server.Figures) bool { return f.Pools[0].ShardsHeld == 0 }).Pools[0]
	if got := at.Topology.Failovers; len(got) != 1 || got[0].Shard != "s1" || got[0].Count != 1 {
		t.Errorf("failovers: %v", got)
	}
	if at.Moves.Resent == 0 || at.Moves.Held.Count() <= loops {
		t.Errorf("%d requests were sent again, %d holds", at.Moves.Resent, at.Moves.Held.Count())
	}
	if got := fieldsOf(c.Do("INFO", "ringway"))["failovers"]; got != "1" {
		t.Errorf("INFO: failovers:%s", got)
	}
}
