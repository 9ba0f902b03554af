package pool

import (
	"time"

	"ringway/pipeline"
	"ringway/stats"
)

// ServerState is what a pool knows of one of its servers, apart from what its loops count.
type ServerState struct {
	Name  string // on the ring; the address for a server that was found out
	Addr  string
	Shard string // name of the shard that it serves; in a Cluster the address of the primary. "" for none
	Role  string // "primary", "replica" (reads go to it), or "" for a server that serves nothing now

	Up        bool
	Since     time.Time     // when it went down, or was restored; zero if it has always been up
	Why       string        // why it is down; "" if it is up
	Ejections uint64        // how often it was taken down
	DownAt    time.Time     // when it was last taken down; zero for never
	Lag       time.Duration // how far a replica is behind its primary
	LagKnown  bool
	Share     float64 // of the ring or the slots, 0 to 1; what the others get while it is ejected is not in it
}

// ServerStates returns the servers of the pool: those that are written down in their order,
// then the others that serve a shard, by shard. Any goroutine may call it.
func (p *Pool) ServerStates() []ServerState {
	shares := p.current.Load().Shares(int(p.shardCount.Load()))
	p.mu.Lock()
	defer p.mu.Unlock()
	var states []ServerState
	for _, i := range p.order {
		s := p.shards[i].serving.primary
		st := ServerState{Name: s.name, Addr: s.addr, Shard: s.name, Role: "primary", Up: !p.down[i], Since: s.restoredAt, Ejections: s.takenDown, DownAt: s.downAt}
		if i < len(shares) {
			st.Share = shares[i]
		}
		if p.down[i] {
			st.Since, st.Why = s.downAt, s.outage.Why.Error()
		}
		states = append(states, st)
	}
	if !p.follows {
		return states
	}
	for i, sh := range p.shards[:len(shares)] {
		states = append(states, sh.memberStates(shares[i])...)
	}
	return states
}

// memberStates returns the servers that serve a shard whose primary may change, the primary first.
// The caller holds Pool.mu.
func (sh *shard) memberStates(share float64) (states []ServerState) {
	primary := sh.serving.primary
	if primary == nil {
		return []ServerState{{Name: sh.name, Shard: sh.name, Role: "primary", Why: "no primary is known"}}
	}
	states = append(states, ServerState{Name: primary.name, Addr: primary.addr, Shard: sh.name, Role: "primary", Up: true, Share: share})
	for _, s := range sh.serving.readers {
		if s != primary {
			states = append(states, ServerState{Name: s.name, Addr: s.addr, Shard: sh.name, Role: "replica", Up: true, Lag: s.lag, LagKnown: s.lagKnown})
		}
	}
	return states
}

// ServerFigures is what one loop knows of one server of the pool.
type ServerFigures struct {
	Addr   string
	Counts stats.Server
	Queues Queues
}

// Queues is a loop's connections to a server now, shared and dedicated ones.
type Queues struct {
	Connections int // that are open
	Requests    int // that await their replies
	Bytes       int // of requests that are not written yet

	pipeline.Queued
}

// Add adds another loop's connections, or others.
func (q *Queues) Add(other *Queues) {
	q.Connections += other.Connections
	q.Requests += other.Requests
	q.Bytes += other.Bytes
	q.Unsent += other.Unsent
	q.UnsentBytes += other.UnsentBytes
	q.Sent += other.Sent
	q.SentBytes += other.SentBytes
}

func (q *Queues) count(c *pipeline.Conn) {
	of := Queues{Requests: c.InFlight(), Bytes: c.Unwritten(), Queued: c.Queued()}
	if c.Connected() {
		of.Connections = 1
	}
	q.Add(&of)
}

// countsKeptFor is how long the counts of a server are kept that serves nothing any more and has no
// connection. Addresses may come and go, as those of containers do.
const countsKeptFor = 10 * time.Minute

// sweepCounts forgets the counts of servers that no loop has had a use for since a moment. The moment
// is the same for all loops, which so forget them at about the same time: a sum that becomes smaller
// would look like a counter that has begun anew. Times are in nanoseconds since started.
func (l *Local) sweepCounts(now, before int64) {
	for _, sh := range l.shards {
		for _, s := range append(sh.readers[:len(sh.readers):len(sh.readers)], sh.primary) {
			if s != nil {
				s.usedAt.Store(now)
			}
		}
	}
	l.eachConn(func(s *server, _ *pipeline.Conn) {
		if s != nil {
			s.usedAt.Store(now)
		}
	})
	for s := range l.stats {
		if s.usedAt.Load() <= before {
			delete(l.stats, s)
		}
	}
}

// Figures returns what this loop has counted of each server to which it had a connection lately, in
// no order. It returns nothing if nothing is counted (statistics = false).
func (l *Local) Figures() (figures []ServerFigures) {
	kept := int64(time.Since(started) - countsKeptFor)
	queues := map[*server]*Queues{}
	for s := range l.stats {
		queues[s] = new(Queues)
	}
	l.eachConn(func(s *server, c *pipeline.Conn) {
		if q := queues[s]; q != nil {
			q.count(c)
		}
	})
	for s, counts := range l.stats {
		if s.usedAt.Load() <= kept {
			continue // it will be forgotten
		}
		f := ServerFigures{Addr: s.addr, Queues: *queues[s]}
		f.Counts.Merge(counts)
		figures = append(figures, f)
	}
	return figures
}

// eachConn calls fn once with each connection of the loop and its server.
func (l *Local) eachConn(fn func(s *server, c *pipeline.Conn)) {
	l.eachConnAs(func(s *server, _ configKey, c *pipeline.Conn) { fn(s, c) })
}

// eachConnAs is eachConn with the kind and use of the connection. s is nil for one that is never made.
func (l *Local) eachConnAs(fn func(s *server, k configKey, c *pipeline.Conn)) {
	for _, cs := range l.connSets {
		for at, conns := range cs.byEndpoint {
			use := useShared
			if at.reads {
				use = useReads
			}
			for _, c := range conns {
				fn(at.server, configKey{cs.kind, use}, c)
			}
		}
		if !l.follows {
			for i, c := range cs.conns {
				fn(l.shards[i/cs.width].primary, configKey{cs.kind, useShared}, c)
			}
		}
	}
	for c, key := range l.lent {
		fn(key.server, configKey{key.kind, useDedicated}, c)
	}
	for key, spares := range l.spares {
		for _, spare := range spares {
			fn(key.server, configKey{key.kind, useDedicated}, spare.conn)
		}
	}
}

// newConn returns a connection to a server that counts what it does.
func (l *Local) newConn(s *server, cfg *pipeline.Config, obs pipeline.Observer) *pipeline.Conn {
	c := pipeline.New(l.loop, cfg, obs)
	if l.stats != nil {
		if l.stats[s] == nil {
			l.stats[s] = &stats.Server{Answer: &l.answer, Addr: s.addr}
			s.usedAt.Store(int64(time.Since(started)))
		}
		c.CountIn(l.stats[s])
	}
	return c
}

// Answering returns the server whose reply is being handled now, and when the request was sent, as
// eventloop.Loop.Now; "" if none is, or nothing is counted.
func (l *Local) Answering() (addr string, sent int64) {
	if s := l.answer.Server; s != nil {
		return s.Addr, l.answer.Sent
	}
	return "", 0
}
