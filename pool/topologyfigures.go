package pool

import (
	"sync/atomic"
	"time"

	"ringway/stats"
)

// TopologyState is what the control plane has found out about the primaries of a pool.
type TopologyState struct {
	Failovers   []ShardFailovers
	ConfirmedAt time.Time // when every primary last said that it is one; zero for never, or for a static pool
}

// ShardFailovers is how often a shard got another primary.
type ShardFailovers struct {
	Shard string // its name; "" in a Cluster, whose shards have none and are counted together
	Count uint64
}

// clusterState is what the control plane reports of a Cluster as a whole. Any goroutine may use it.
type clusterState struct {
	failovers   atomic.Uint64
	confirmedAt atomic.Int64 // Unix time in nanoseconds; 0 for never
}

// TopologyState returns what is known of the primaries. Any goroutine may call it.
func (p *Pool) TopologyState() (s TopologyState) {
	if !p.follows {
		return s
	}
	if p.Map().Slotted() {
		s.Failovers = []ShardFailovers{{"", p.cluster.failovers.Load()}}
		if at := p.cluster.confirmedAt.Load(); at != 0 {
			s.ConfirmedAt = time.Unix(0, at)
		}
		return s
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, sh := range p.shards {
		s.Failovers = append(s.Failovers, ShardFailovers{sh.name, sh.failovers})
		if i == 0 || sh.confirmedAt.Before(s.ConfirmedAt) {
			s.ConfirmedAt = sh.confirmedAt
		}
	}
	return s
}

// CountFailover counts that a shard of a Cluster got another primary. SetView counts elsewhere.
func (p *Pool) CountFailover() { p.cluster.failovers.Add(1) }

// ConfirmCluster records that the servers of a Cluster agree now about who serves its slots.
func (p *Pool) ConfirmCluster() { p.cluster.confirmedAt.Store(time.Now().UnixNano()) }

// Confirm records that the primary of a shard has said now that it is one.
func (p *Pool) Confirm(shard int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shards[shard].confirmedAt = time.Now()
}

// SetLag records how far a server is behind its primary, as a replica; a negative lag says that it is
// not known. The server need not belong to the pool.
func (p *Pool) SetLag(addr string, lag time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.byAddr[addr]; s != nil {
		s.lag, s.lagKnown = lag, lag >= 0
	}
}

// TopologyCounts is what one loop knows of changes of primaries.
type TopologyCounts struct {
	Counts stats.Topology
	Held   int // shards whose new requests wait on this loop now
}

// TopologyCounts returns what this loop has counted. It is called on the loop.
func (l *Local) TopologyCounts() (c TopologyCounts) {
	c.Counts.Merge(&l.topology)
	for _, sh := range l.shards {
		if sh.heldSince != 0 && !l.Absent(sh.index) {
			c.Held++
		}
	}
	return c
}

// countRefusal counts a refusal that is not the client's reply.
func (l *Local) countRefusal(kind RefusalKind) {
	if kind != NoRefusal {
		l.topology.Redirections[kind-1]++ // stats.Redirection has the same order
	}
}

// noteGate counts how long the shard's new requests wait. It is called when the gate may have changed.
func (sh *localShard) noteGate() {
	now := sh.l.loop.Now()
	switch shut := sh.allHeld || sh.writesHeld; {
	case shut && sh.heldSince == 0:
		sh.heldSince = max(now, 1)
	case !shut && sh.heldSince != 0:
		sh.l.topology.Held.AddNanoseconds(now - sh.heldSince)
		sh.heldSince = 0
	}
}

// Holding reports whether new requests of a shard wait on this loop, because its primary changes or is not known.
func (l *Local) Holding() bool {
	for _, sh := range l.shards {
		if sh.heldSince != 0 && !l.Absent(sh.index) {
			return true
		}
	}
	return false
}
