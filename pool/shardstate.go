package pool

import (
	"time"

	"ringway/conf"
)

// ShardState is what a pool knows of one of its shards.
type ShardState struct {
	Index    int // in ShardPhases
	Name     string
	Primary  string    // address; "" if none is known
	Since    time.Time // when that became the primary here; zero if it is written down
	Replicas []string  // addresses of those that are read
	Share    float64   // of the ring or the slots, 0 to 1
	Slots    int       // hash slots, of a Cluster
	Down     string    // of a static pool: why the server is down; "" if it is up
	Ejected  bool      // it is off the ring because of that
}

// ShardStates returns the shards of the pool, in the order in which they came. Any goroutine may call it.
func (p *Pool) ShardStates() (states []ShardState) {
	m := p.current.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	shares := m.Shares(len(p.shards))
	for i, sh := range p.shards {
		if sh.leaving() {
			continue
		}
		st := ShardState{Index: i, Name: sh.name, Since: sh.since, Share: shares[i], Slots: m.slotsOf(i)}
		if sh.serving.primary != nil {
			st.Primary = sh.serving.primary.addr
		}
		for _, s := range sh.serving.readers {
			if s != sh.serving.primary {
				st.Replicas = append(st.Replicas, s.addr)
			}
		}
		if !p.follows && p.down[i] {
			st.Down, st.Ejected = sh.serving.primary.outage.Why.Error(), p.Conf().AutoEjectHosts
		}
		states = append(states, st)
	}
	return states
}

// LearntFrom says where the pool knows from who is primary.
func (p *Pool) LearntFrom() string {
	switch p.Conf().Topology {
	case conf.Sentinel:
		return "Sentinels"
	case conf.Replicated:
		return "the servers' roles"
	case conf.Cluster:
		return "the Cluster's nodes"
	}
	return "configuration"
}

// ShardPhase is a row of the table at localShard: what requests of a shard experience on one loop.
type ShardPhase uint8

// The phases, the worst last.
const (
	Serving ShardPhase = iota
	WritesRefused
	WritesHeld
	RepliesHeld
	Draining
	AllHeld
	Failing
)

var phaseNames = [...]string{"serving", "writes refused", "writes held", "replies held", "draining", "held", "failing"}

// String returns the phase in words.
func (p ShardPhase) String() string { return phaseNames[p] }

// ShardPhases returns the phases of the pool's shards on this loop, by ShardState.Index.
func (l *Local) ShardPhases() (phases []ShardPhase) {
	for _, sh := range l.shards {
		phases = append(phases, sh.phase())
	}
	return phases
}

func (sh *localShard) phase() ShardPhase {
	switch {
	case sh.failFast:
		return Failing
	case sh.draining:
		return Draining
	case sh.allHeld:
		return AllHeld
	case len(sh.repliesHeldOn) > 0:
		return RepliesHeld
	case sh.writesHeld:
		return WritesHeld
	case sh.refusal != nil:
		return WritesRefused
	}
	return Serving
}
