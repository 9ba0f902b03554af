package topology

import (
	"time"

	"ringway/conf"
)

// The Sentinel that leads a failover is the only one that announces it. While a Sentinel is not
// heard, any failover may be one that nobody announces, and the writes that the old primary
// acknowledges after the promotion are lost. So the pool's replies wait meanwhile until the replicas
// have what they acknowledge (docs/adr/0053).

// setAllReplicaAcks is setReplicaAcks for every shard.
func (f *sentinelFollower) setAllReplicaAcks() {
	for _, sh := range f.shards {
		f.setReplicaAcks(sh)
	}
}

// setReplicaAcks tells the pool how many replicas must acknowledge what a shard's replies are about,
// if that has changed. Nothing changes while the primary does.
func (f *sentinelFollower) setReplicaAcks(sh *sentinelShard) {
	if sh.held || sh.candidate.addr != "" || sh.primary == "" {
		return
	}
	acks := 0
	if f.wantsReplicaAcks() {
		acks = sh.linkedReplicas()
	}
	if acks == sh.acks {
		return
	}
	sh.log.Debug("replicas that must acknowledge what replies are about", "replicas", acks)
	sh.acks = acks
	sh.pool.SetReplicaAcks(sh.index, acks)
}

// wantsReplicaAcks reports whether replies are to wait for replicas, by the setting, and with "auto"
// by whether all Sentinels are heard. It logs a change.
func (f *sentinelFollower) wantsReplicaAcks() bool {
	switch f.conf.ReplicaAcks {
	case conf.AcksAlways:
		return true
	case conf.AcksNever:
		return false
	}
	unheard := ""
	for addr, l := range f.links {
		if !l.heard || l.err != nil {
			unheard = addr
		}
	}
	if blind := unheard != ""; blind != f.blind {
		f.blind = blind
		switch {
		case time.Since(f.startedAt) < startGrace:
		case blind:
			f.log.Warn("a Sentinel is not heard, and a failover that it leads would not be announced: replies wait until the replicas have acknowledged the writes", "sentinel", unheard)
		default:
			f.log.Info("all Sentinels are heard: replies no longer wait for the replicas")
		}
	}
	return f.blind
}

// linkedReplicas returns how many replicas receive the primary's writes. One that does not answer
// counts for a while: when a replica is promoted, it closes its connections.
func (sh *sentinelShard) linkedReplicas() (n int) {
	for addr, s := range sh.servers {
		since := time.Since(s.linkedAt)
		if addr != sh.primary && !s.last.isPrimary() && (s.last.isReplica() && s.last.linkUp || s.last.err != nil && since < 2*sh.conf.ProbeInterval+time.Second) {
			n++
		}
	}
	return n
}
