package topology

import (
	"errors"
	"maps"
	"slices"
	"time"

	"ringway/pool"
)

// clusterShards is what the pool is told.
func (f *clusterFollower) clusterShards() (shards []pool.ClusterShard) {
	for _, id := range slices.Sorted(maps.Keys(f.held.shards)) {
		s := pool.ClusterShard{ID: id, Slots: f.held.shards[id]}
		s.Primary = f.member(f.held.nodes[id])
		for _, n := range f.held.replicas(id) {
			if a := f.askers[f.conf.MapAddr(n.addr)]; a != nil && a.seen && a.out == "" {
				s.Replicas = append(s.Replicas, f.member(n))
			}
		}
		shards = append(shards, s)
	}
	return shards
}

func (f *clusterFollower) member(n clusterNode) pool.Member {
	addr := f.conf.MapAddr(n.addr)
	m := pool.Member{Addr: addr, Zone: f.conf.ZoneOf(addr)}
	if a := f.askers[addr]; a != nil {
		m.Latency = a.latency
	}
	return m
}

var errSilent = errors.New("no answer in time")

// judgeReplicas decides which replicas are fit to be read, after a round in which
// all servers were asked.
func (f *clusterFollower) judgeReplicas() {
	for id := range f.tracks {
		if _, leads := f.held.shards[id]; !leads {
			delete(f.tracks, id)
		}
	}
	for id := range f.held.shards {
		if f.tracks[id] == nil {
			f.tracks[id] = &track{}
		}
		var primary observation
		if a := f.askers[f.conf.MapAddr(f.held.nodes[id].addr)]; a != nil {
			primary, a.last = a.last, observation{}
			if primary.isPrimary() {
				f.tracks[id].note(&primary, 2*max(f.conf.MaxReplicaLag, f.conf.ProbeInterval))
				a.judge(&primary, "") // for its latency
			}
		}
		for _, n := range f.held.replicas(id) {
			if a := f.askers[f.conf.MapAddr(n.addr)]; a != nil {
				f.judgeReplica(a, &primary, f.tracks[id])
			}
		}
	}
}

func (f *clusterFollower) judgeReplica(a *clusterAsker, primary *observation, t *track) {
	o := a.last
	a.last = observation{}
	if o.asked.IsZero() {
		o = observation{addr: a.addr, asked: time.Now(), err: errSilent}
	}
	first := !a.seen
	fault := whyUnread(&o, primary, t.lag(&o), f.conf.MaxReplicaLag)
	changed, after := a.judge(&o, fault)
	switch {
	case !changed || first && fault == "":
	case fault != "":
		f.log.Warn("replica is not well", "addr", a.addr, "reason", fault)
	case !first:
		f.log.Info("replica is well again", "addr", a.addr, "after", after.Round(time.Millisecond))
	}
}
