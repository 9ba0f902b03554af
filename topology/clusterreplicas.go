package topology

import (
	"errors"
	"maps"
	"slices"
	"time"

	"ringway/pool"
)

// poolShards returns the current map as the pool wants it. It has only those replicas that may
// be read.
func (f *clusterFollower) poolShards() (shards []pool.ClusterShard) {
	for _, id := range slices.Sorted(maps.Keys(f.current.shards)) {
		s := pool.ClusterShard{ID: id, Slots: f.current.shards[id]}
		s.Primary = f.member(f.current.servers[id])
		for _, n := range f.current.replicas(id) {
			if a := f.askers[f.conf.MapAddr(n.addr)]; a != nil && a.judged && a.fault == "" {
				s.Replicas = append(s.Replicas, f.member(n))
			}
		}
		shards = append(shards, s)
	}
	return shards
}

func (f *clusterFollower) member(n clusterServer) pool.Member {
	addr := f.conf.MapAddr(n.addr)
	m := pool.Member{Addr: addr, Zone: f.conf.ZoneOf(addr)}
	if a := f.askers[addr]; a != nil {
		m.Latency = a.latency
	}
	return m
}

var errNoAnswer = errors.New("no answer in time")

// judgeReplicas decides which replicas may be read. It is called after a round in which all
// servers were asked; the observations are used up by it.
func (f *clusterFollower) judgeReplicas() {
	for id := range f.offsets {
		if _, isPrimary := f.current.shards[id]; !isPrimary {
			delete(f.offsets, id)
		}
	}
	for id := range f.current.shards {
		if f.offsets[id] == nil {
			f.offsets[id] = &offsetHistory{}
		}
		var primary observation
		if a := f.askers[f.conf.MapAddr(f.current.servers[id].addr)]; a != nil {
			primary, a.last = a.last, observation{}
			if primary.isPrimary() {
				f.offsets[id].add(&primary, 2*max(f.conf.MaxReplicaLag, f.conf.ProbeInterval))
				a.update(&primary, "") // for its latency
			}
		}
		for _, n := range f.current.replicas(id) {
			if a := f.askers[f.conf.MapAddr(n.addr)]; a != nil {
				f.judgeReplica(a, &primary, f.offsets[id])
			}
		}
	}
}

// judgeReplica updates the health of one replica and logs changes. A replica that was not
// observed in this round counts as silent.
func (f *clusterFollower) judgeReplica(a *clusterAsker, primary *observation, t *offsetHistory) {
	o := a.last
	a.last = observation{}
	if o.askedAt.IsZero() {
		o = observation{addr: a.addr, askedAt: time.Now(), err: errNoAnswer}
	}
	first := !a.judged
	lag := t.lag(&o)
	fault := replicaFault(&o, primary, lag, f.conf.MaxReplicaLag)
	f.pool.SetLag(a.addr, shownLag(&o, lag))
	changed, after := a.update(&o, fault)
	switch {
	case !changed || first && fault == "":
	case fault != "":
		f.log.Warn("replica unhealthy", "addr", a.addr, "reason", fault)
	case !first:
		f.log.Info("replica healthy again", "addr", a.addr, "after", after.Round(time.Millisecond))
	}
}
