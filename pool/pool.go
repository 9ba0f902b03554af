// Package pool holds one pool: its ring of servers, which of them are down,
// and each event loop's connections to them.
//
// A Pool is shared by all loops, and what it shares is immutable (the ring,
// swapped whole through an atomic pointer when a server is ejected or
// restored) or an atomic counter that is only written when something fails.
// A Local is one loop's part: its own connections to every server.
package pool

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"sync/atomic"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/hashring"
	"ringway/pipeline"
	"ringway/resp"
)

// Pool is one pool of servers. Its methods may be called from any goroutine.
type Pool struct {
	// Static after construction.
	conf    *conf.Pool
	proxy   *conf.Proxy
	log     *slog.Logger
	watcher Watcher
	follows bool                        // primaries are found out: the topology is not static
	full    *hashring.Ring              // with all servers; nil for a Cluster
	tls     func() (*tls.Config, error) // for connections to servers; nil without TLS

	m         atomic.Pointer[Map]
	met       atomic.Int32                  // how many shards there are; see Local.grow
	dedicated dedicatedCount                // connections that clients have to themselves
	commands  atomic.Pointer[[]CommandFact] // of the servers
	version   atomic.Pointer[string]        // of the servers, as INFO gives it

	users users // ACL users that clients are

	mu      sync.Mutex         // guards what follows; never held while calling out
	servers []*server          // of a static pool, in the order of the ring
	down    []bool             // which of them are; the Map follows, with its ring
	crowded bool               // more primaries than there may be were named
	moves   map[int]uint16     // slots of a Cluster that -MOVED has given to other shards, for the next Map
	moving  bool               // installMoves runs
	changes []func(live int)   // that await a ring
	making  bool               // makeRings runs
	shards  []*shard           // in their order; those of a static pool never change
	byAddr  map[string]*server // all servers that were ever named there
	locals  []*Local
}

// Watcher is told of servers that are down, to tell the pool with Restore when
// they are back. It is called from any goroutine and must return at once.
type Watcher interface {
	// Suspect tells that a shard's primary, addr, may be it no longer; the shard is
	// -1 for a whole Cluster. It comes as often as the data path meets it: the
	// watcher limits its own rate. Of static pools it comes for LoadingServer alone.
	Suspect(p *Pool, shard int, addr string, why Suspicion)

	// ServerDown tells of a static pool's server, by its index, and how often in a
	// row it has failed soon after it was restored.
	ServerDown(p *Pool, server, relapses int)
}

// New returns a pool as c says, none of whose servers is down. The error is
// that of hashring.New, which a validated configuration does not cause. w may
// be nil: then a server that is down stays so until Restore, and a primary that
// was not written down is never found. The caller keeps c as it is.
func New(c *conf.Pool, proxy *conf.Proxy, w Watcher, log *slog.Logger) (*Pool, error) {
	p := &Pool{conf: c, proxy: proxy, log: log.With("pool", c.Name), watcher: w, byAddr: map[string]*server{}}
	if c.ServerTLS != nil {
		p.tls = c.ServerTLS.Loader()
	}
	p.follows = c.Topology != "" && c.Topology != conf.Static
	if c.Topology == conf.Cluster {
		p.newCluster()
		return p, nil
	}
	full, err := hashring.New(c.Ring())
	if err != nil {
		return nil, err
	}
	p.full = full
	if !p.follows {
		p.down = make([]bool, len(c.Servers))
		for i, c := range c.Servers {
			s := &server{pool: p, index: i, name: c.Name, title: "server " + c.Name, network: c.Network, addr: c.Addr}
			p.servers = append(p.servers, s)
			p.shards = append(p.shards, &shard{index: i, name: c.Name, told: told{primary: s}}) // for ever
		}
	}
	p.installMap(full)
	for i := range c.Shards {
		p.shards = append(p.shards, &shard{index: i, name: c.Shards[i].Name})
	}
	p.met.Store(int32(len(p.shards)))
	return p, nil
}

// Conf is the pool's configuration, not to be changed.
func (p *Pool) Conf() *conf.Pool { return p.conf }

// Follows tells whether primaries are found out rather than written down: then
// requests may wait for one, and a server may refuse them.
func (p *Pool) Follows() bool { return p.follows }

// Map is who owns which key now.
func (p *Pool) Map() *Map { return p.m.Load() }

// Absent tells whether nothing is to be had from a shard: it was ejected, or is
// a primary of a Cluster that serves no slot.
func (p *Pool) Absent(shard int) bool {
	if m := p.Map(); m.Slotted() {
		return !m.Serves(shard)
	}
	return p.conf.AutoEjectHosts && p.IsDown(shard)
}

// SetVersion records the version of Redis that the servers have.
func (p *Pool) SetVersion(v string) { p.version.Store(&v) }

// Version is the version of Redis that the servers have, or the oldest that is
// supported while none has told.
func (p *Pool) Version() string {
	if v := p.version.Load(); v != nil {
		return *v
	}
	return "6.0.0"
}

// Local is one event loop's connections to the servers of a pool. It belongs
// to the loop's goroutine.
type Local struct {
	*Pool
	loop  *eventloop.Loop
	owner Owner

	placing    *Map   // of a Cluster: what this loop places keys by
	lastNumber uint64 // see nextNumber
	tornAt     int64  // when a slot was last met whose keys are on two servers; 0 for never

	shards        []*localShard
	shared        []*ConnSet
	declined      map[kind]*declined              // connections that servers do not take
	dedicatedIdle map[dedicatedKey][]spare        // dedicated connections that no client has
	spares        atomic.Int64                    // how many these are, for other loops
	lent          map[*pipeline.Conn]dedicatedKey // and those that clients have
	changes       ChangeListener                  // see SetFollower
	login         loginConn                       // that carries AUTH of clients
	hedges        hedges
	reads         func(request []byte) bool // whether a request only reads; nil if nobody knows
	onLate        func()                    // see SetOnLate
}

// SetReads says how to find out whether a request only reads, so that it may be
// executed again. It is to be called before the connections are used.
func (l *Local) SetReads(reads func(request []byte) bool) { l.reads = reads }

// SetOnLate says what is to happen on the loop when a server that has lost its shard
// takes so long to answer what it was sent that new requests no longer wait: they
// may now overtake what is under way, so clients of which anything is must send no
// more until it is answered. It is to be called before the connections are used.
func (l *Local) SetOnLate(onLate func()) { l.onLate = onLate }

// Owner finds the shard that owns the keys of a request, or of the requests of a
// unit. It reports false if there are none, or not on one shard. It is called on
// the loop.
type Owner func(m *Map, requests []byte) (shard int, ok bool)

// NewLocal makes the connections of one loop, on that loop's goroutine or
// before it runs. They connect at their first request, or now with preconnect.
// Where slots may move, owner is asked who is to get a request that was refused;
// it may be nil elsewhere.
func (p *Pool) NewLocal(loop *eventloop.Loop, owner Owner) *Local {
	l := &Local{Pool: p, loop: loop, owner: owner, onLate: func() {}, changes: noListener{}, declined: map[kind]*declined{}, dedicatedIdle: map[dedicatedKey][]spare{}, lent: map[*pipeline.Conn]dedicatedKey{}}
	if p.Map().Slotted() {
		l.placing = p.Map()
	}
	l.hedges.timer = loop.NewTimer(l.hedgeDue).OwnedBy(&l.hedges)
	l.grow()
	lanes := l.ConnSet(resp.RESP2, p.conf.RedisDB)
	p.mu.Lock()
	p.locals = append(p.locals, l)
	p.mu.Unlock()
	if p.conf.Preconnect {
		for _, c := range lanes.conns {
			c.Connect()
		}
	}
	return l
}

// Map is who owns which key, as this loop knows it. In a Cluster each loop goes
// over to another Map by itself, when it has seen to the order of requests.
func (l *Local) Map() *Map {
	if l.placing != nil {
		return l.placing
	}
	return l.Pool.Map()
}

// addShard makes this loop's part of one more shard.
func (l *Local) addShard(index int, t told) {
	sh := &localShard{l: l, index: index, told: t}
	sh.timer, sh.retryTimer = l.loop.NewTimer(sh.tick).OwnedBy(sh), l.loop.NewTimer(sh.retryDue).OwnedBy(sh)
	l.shards = append(l.shards, sh)
	for _, n := range l.shared {
		n.add(sh)
	}
	if t.primary == nil {
		sh.wait()
	}
}

// Shards is how many shards the pool has, those that are down or Absent
// included. In a Cluster there may come more.
func (l *Local) Shards() int {
	if int(l.met.Load()) != len(l.shards) {
		l.grow()
	}
	return len(l.shards)
}

// Close closes the connections for good.
func (l *Local) Close() {
	l.changes.Close()
	l.closeLogin()
	for _, n := range l.shared {
		for _, c := range n.all() {
			c.Close()
		}
	}
	for c := range l.lent {
		c.Close()
	}
	l.closeSpares(func(dedicatedKey, spare) bool { return true })
}

// connsOf returns the connections to a static pool's server that are in use, or
// shared.
func (l *Local) connsOf(server int) (conns []*pipeline.Conn) {
	for _, n := range l.shared {
		conns = append(conns, n.of(server)...)
	}
	for c, key := range l.lent {
		if key.shard == server {
			conns = append(conns, c)
		}
	}
	return conns
}

func (l *Local) suspend(server int) {
	why := l.outage(server)
	for _, c := range l.connsOf(server) {
		c.SuspendFor(why)
	}
}

func (l *Local) restore(server int) {
	for _, n := range l.shared {
		for _, c := range n.of(server) {
			c.Restore()
		}
	}
}
