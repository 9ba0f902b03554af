package admin

import (
	"cmp"
	"strings"
	"time"

	"ringway/pool"
	"ringway/server"
)

// shardState says in words what requests of a shard experience.
func shardState(s *server.ShardState) string {
	switch {
	case s.Ejected:
		return "ejected"
	case s.Down != "":
		return "down"
	}
	return s.Phase.String()
}

// shardRows are those of SHOW SHARDS. State is how it is on the event loop where it is worst.
func (a *Admin) shardRows() (rows [][]any) {
	for _, p := range a.srv.Pools() {
		name := p.Conf().Name
		for _, s := range a.srv.ShardStates(name) {
			rows = append(rows, []any{name, s.Name, shardState(&s), s.Primary, since(s.Since), strings.Join(s.Replicas, ","), ratio(s.Share), s.Slots, s.Down})
		}
	}
	return rows
}

// topologyRows are those of SHOW TOPOLOGY.
func (a *Admin) topologyRows() (rows [][]any) {
	for _, p := range a.srv.Pools() {
		c, serving, replicas, slots := p.Conf(), 0, 0, 0
		shards := a.srv.ShardStates(c.Name)
		for i := range shards {
			s := &shards[i]
			if s.Down == "" && s.Phase == pool.Serving && s.Primary != "" {
				serving++
			}
			replicas, slots = replicas+len(s.Replicas), slots+s.Slots
		}
		what, ago := a.lastChangeOf(c.Name)
		rows = append(rows, []any{c.Name, cmp.Or(c.Topology, "static"), p.LearntFrom(), len(shards), serving, replicas, slots, distributionText(c), what, ago})
	}
	return rows
}

// lastChangeOf returns what happened to a server of a pool last, and how long ago.
func (a *Admin) lastChangeOf(pool string) (what string, ago age) {
	for _, c := range a.history.lastChanges() {
		if c.Pool == pool {
			return c.Server + " " + c.What, since(time.UnixMilli(c.At))
		}
	}
	return "", -1
}
