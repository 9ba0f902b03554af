package server

import (
	"sync"
	"time"

	"ringway/conf"
	"ringway/limit"
	"ringway/pool"
	"ringway/session"
	"ringway/stats"
)

// Figures is what the process knows of itself at one moment. Counts are since the start. It is
// shared by all who have asked at about the same time: nobody may change it.
type Figures struct {
	At      time.Time
	Process session.State
	Loops   []LoopFigures // in their order
	Pools   []PoolFigures // in the order of the configuration

	Upgrades UpgradeFigures
}

// LoopFigures is one event loop.
type LoopFigures struct {
	At          time.Time // when the loop told them: long ago if it is stuck
	Counts      stats.Loop
	Busy        float64 // share of the last 100 ms in which it was not asleep, 0 to 1
	Connections int     // open: to clients and servers
	Clients     int
	LongTurns   int64 // turns of 10 ms or more
	LongestTurn time.Duration
	Lent        int // bytes of buffers that connections hold

	pools []session.PoolFigures
}

// PoolFigures is one pool, over all loops.
type PoolFigures struct {
	Name     string
	Conf     *conf.Pool // in force at that moment
	Addr     string     // where it listens
	Clients  int
	Refused  uint64        // clients turned away: max_clients or client_connections was reached
	Denied   uint64        // clients turned away: allow_networks or deny_networks do not let their address in
	NoHeader uint64        // connections closed because no valid header of the PROXY protocol came
	Limited  []Limited     // limits that were reached
	TLS      *TLSFigures   // nil if clients are spoken to in clear
	Paused   time.Duration // for how long PausePool holds its requests back at most; 0 if it does not
	Counts   stats.Pool
	Servers  []ServerFigures

	Follows    bool               // primaries are found out
	Topology   pool.TopologyState // what the control plane has found out
	Moves      stats.Topology     // what the loops have seen of that
	ShardsHeld int                // shards whose requests wait for a primary on some loop

	SubscriptionsLost int64 // connections with subscriptions that were lost
}

// Limited is how often a limit was reached.
type Limited struct {
	Kind   limit.Kind
	What   limit.What
	Action string // delayed or refused
	Count  uint64
}

// limited returns the limits of a pool that were reached at least once.
func limited(p *limit.Pool) (all []Limited) {
	for k := range limit.Kinds {
		for w := range limit.Whats {
			c := p.Counts(k, w)
			for _, of := range []Limited{{k, w, "delayed", c.Delayed.Load()}, {k, w, "refused", c.Refused.Load()}} {
				if of.Count > 0 {
					all = append(all, of)
				}
			}
		}
	}
	return all
}

// ServerFigures is one server of a pool, over all loops.
type ServerFigures struct {
	pool.ServerState
	Counts stats.Server
	Queues pool.Queues
}

const (
	// figuresTimeout is how long loops may take to tell their figures.
	figuresTimeout = time.Second
	// figuresFor is how long figures are handed out to others who ask, so that a storm of
	// scrapes costs the loops no more than a few.
	figuresFor = 20 * time.Millisecond
)

// figures gathers Figures. Its zero value is ready.
type figures struct {
	mu   sync.Mutex // held while the loops are asked
	last *Figures   // guarded by mu
}

// Figures returns what the process knows of itself. Each loop copies what it has counted, between
// two turns; no loop waits for another or for the caller. If a loop is stuck, Figures returns after
// a second with what that loop told before. Any goroutine may call it while Run runs, but a loop's.
func (srv *Server) Figures() *Figures {
	srv.figures.mu.Lock()
	defer srv.figures.mu.Unlock()
	if last := srv.figures.last; last != nil && time.Since(last.At) < figuresFor {
		return last
	}
	f := &Figures{At: time.Now()}
	eachLoop(srv, func(l *loop) struct{} {
		l.told.Store(l.figures())
		return struct{}{}
	})
	for _, l := range srv.loops {
		if told := l.told.Load(); told != nil {
			f.Loops = append(f.Loops, *told)
		} else {
			f.Loops = append(f.Loops, LoopFigures{})
		}
	}
	f.Process, f.Upgrades = srv.State(), srv.upgrades.figures()
	for _, ln := range srv.now().served() {
		f.Pools = append(f.Pools, ln.figures(f.Loops))
	}
	srv.figures.last = f
	return f
}

// figures returns the figures of the loop. It is called on the loop.
func (l *loop) figures() *LoopFigures {
	count, longest := l.sessions.LongTurns()
	return &LoopFigures{
		At: time.Now(), Counts: *l.Counts(), Busy: l.Busy(), Connections: l.Conns(), Clients: l.sessions.Len(),
		LongTurns: count, LongestTurn: longest, Lent: l.Lent(), pools: l.sessions.Figures(),
	}
}

// figures adds up what the loops have told of a pool.
func (ln *listener) figures(loops []LoopFigures) PoolFigures {
	p := ln.pool
	f := PoolFigures{Name: p.Conf().Name, Conf: p.Conf(), Addr: ln.Addr().String(), Clients: int(ln.clients.Load()), Refused: ln.refused.Load(), Denied: ln.away.network.Load(), NoHeader: ln.away.header.Load(), Limited: limited(p.Limits()), TLS: ln.tlsFigures(), Paused: ln.pauseLeft(), Follows: p.Follows(), Topology: p.TopologyState()}
	seen := map[string]bool{}
	for _, state := range p.ServerStates() {
		// In the midst of a failover a server may be the primary of one shard and a replica of another.
		// Twice the same name would be an error of the whole scrape.
		if !seen[state.Name] {
			seen[state.Name] = true
			f.Servers = append(f.Servers, ServerFigures{ServerState: state})
		}
	}
	for i := range loops {
		if ln.index < len(loops[i].pools) {
			f.add(&loops[i].pools[ln.index])
		}
	}
	return f
}

// add adds what one loop has told. Servers that serve nothing any more are put behind the others.
func (f *PoolFigures) add(told *session.PoolFigures) {
	f.Counts.Merge(&told.Counts)
	f.Moves.Merge(&told.Topology.Counts)
	f.ShardsHeld = max(f.ShardsHeld, told.Topology.Held)
	f.SubscriptionsLost = max(f.SubscriptionsLost, told.SubscriptionsLost)
	for i := range told.Servers {
		of := &told.Servers[i]
		s := f.server(of.Addr)
		s.Counts.Merge(&of.Counts)
		s.Queues.Add(&of.Queues)
	}
}

// server returns the server at an address, which it adds if the pool no longer knows it.
func (f *PoolFigures) server(addr string) *ServerFigures {
	for i := range f.Servers {
		if f.Servers[i].Addr == addr {
			return &f.Servers[i]
		}
	}
	f.Servers = append(f.Servers, ServerFigures{ServerState: pool.ServerState{Name: addr, Addr: addr}})
	return &f.Servers[len(f.Servers)-1]
}
