// Package pool holds what Ringway knows of one pool of servers: which shard owns a key,
// which servers are down or have lost their shard, and each event loop's connections.
//
// A Pool is shared by all loops. The request path reads immutable values from it (the Map
// with its ring, replaced whole through an atomic pointer) and takes no lock. A Local is one
// loop's part: its connections to every server. It belongs to that loop:
//
//	p, err := pool.New(&cfg.Pools[0], &cfg.Proxy, watcher, log)
//	local := p.NewLocal(loop, owner)             // one for each loop
//	conns := local.ConnSet(resp.RESP2, 0)        // connections in a protocol and database
//	shard := local.Map().Index(key)
//	failure := conns.Conn(shard, client).Send(request, receiver, tag)
//
// In a static pool the servers are written down. One that fails is taken down, and with
// auto_eject_hosts its keys move to the others (health.go). In the other topologies the
// primaries are found out: package topology tells the Pool who they are (controlplane.go), and
// what a server refuses or was not sent becomes a retry (refusal.go, retry.go). The states
// of a shard whose primary changes are in a table above localShard (shard.go).
package pool

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"sync/atomic"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/hashring"
	"ringway/limit"
	"ringway/pipeline"
	"ringway/resp"
	"ringway/stats"
)

// Pool is one pool of servers. Any goroutine may call its methods.
type Pool struct {
	// Static after construction.
	log     *slog.Logger
	watcher Watcher
	follows bool // primaries are found out: the topology is not static
	slotted bool // a Cluster

	// Atomic: read by any goroutine, without a lock.
	settings   atomic.Pointer[settings]
	current    atomic.Pointer[Map]
	shardCount atomic.Int32                  // len(shards); see Local.grow
	limits     *limit.Pool                   // who may use how much
	dedicated  dedicatedCount                // connections that one client has to itself
	commands   atomic.Pointer[[]CommandFact] // of the servers
	version    atomic.Pointer[string]        // of the servers, as INFO gives it
	valkey     atomic.Bool                   // they are Valkey
	hello      atomic.Pointer[[2]string]     // the name and version that they give in reply to HELLO

	cluster clusterState // what the control plane reports of a Cluster

	users users // ACL users that clients are; it has a mutex of its own

	mu sync.Mutex // guards the fields below; see docs/architecture.md for what may be called meanwhile

	// Guarded by mu.
	fullRing *hashring.Ring // with all servers or shards of the configuration; nil for a Cluster
	order    []int          // of a static pool: the shard of each server of fullRing
	down     []bool         // of a static pool: which shards' servers are down; the Map follows, with its ring

	epoch  int                // how often Reconfigure has replaced the ring
	shards []*shard           // by index; see reconfigure.go for those of a static pool
	byAddr map[string]*server // every server that was ever named, by address
	locals []*Local

	// Guarded by mu: the next Map.
	ringDone        []func(live int) // to be called when a ring that has their change is installed
	makingRing      bool             // makeRings runs
	pendingMoves    map[int]uint16   // slots of a Cluster that -MOVED has given to other shards
	installingMoves bool             // installMoves runs
	tooManyLogged   bool             // see roomFor
}

// Watcher looks after servers that are down or suspected; it tells the pool with Restore
// when one is back. Any goroutine calls it, also while loops run; it must return at once.
type Watcher interface {
	// Suspect reports that addr may no longer be the primary of a shard; the shard is -1
	// for a whole Cluster. The data path calls it each time it sees a sign of that: the
	// watcher limits its own rate. In static pools the only reason is LoadingServer.
	Suspect(p *Pool, shard int, addr string, why Suspicion)

	// ServerDown reports that a static pool's server, given by its index, was taken down.
	// relapses is how often in a row it has failed soon after it was restored.
	ServerDown(p *Pool, server, relapses int)
}

// New returns a pool as configured by c, with no server down. The caller must not change
// c and proxy afterwards. The error is hashring.New's; a validated configuration causes
// none. w may be nil: then a server that is down stays down until Restore, and only a
// primary that the configuration names is known.
func New(c *conf.Pool, proxy *conf.Proxy, w Watcher, log *slog.Logger) (*Pool, error) {
	p := &Pool{log: log.With("pool", c.Name), watcher: w, byAddr: map[string]*server{}}
	p.settings.Store(newSettings(c, proxy))
	p.limits = limit.NewPool(c.LimitSettings(), p.log)
	p.follows, p.slotted = c.Topology != "" && c.Topology != conf.Static, c.Topology == conf.Cluster
	if p.slotted {
		p.newCluster()
		return p, nil
	}
	full, err := hashring.New(c.Ring())
	if err != nil {
		return nil, err
	}
	p.fullRing = full
	if !p.follows {
		for _, s := range c.Servers {
			p.order = append(p.order, p.addServer(s).index)
		}
	}
	p.installMap(full)
	for i := range c.Shards {
		p.shards = append(p.shards, &shard{index: i, name: c.Shards[i].Name})
	}
	p.shardCount.Store(int32(len(p.shards)))
	return p, nil
}

// settings is what a pool takes from a configuration. It is replaced whole.
type settings struct {
	conf  *conf.Pool
	proxy *conf.Proxy
	tls   func() (*tls.Config, error) // for connections to servers; nil without TLS
}

func newSettings(c *conf.Pool, proxy *conf.Proxy) *settings {
	s := &settings{conf: c, proxy: proxy}
	if c.ServerTLS != nil {
		s.tls = c.ServerTLS.Loader()
	}
	return s
}

// Conf returns the pool's configuration, which must not be changed. Reconfigure replaces it: who
// needs several settings that fit together keeps what Conf has returned.
func (p *Pool) Conf() *conf.Pool { return p.settings.Load().conf }

// Limits returns who may use how much of the pool.
func (p *Pool) Limits() *limit.Pool { return p.limits }

// Proxy is Conf for the settings of the process.
func (p *Pool) Proxy() *conf.Proxy { return p.settings.Load().proxy }

// Follows reports whether primaries are found out rather than written down. Then requests
// may wait for a primary, and a server may refuse them.
func (p *Pool) Follows() bool { return p.follows }

// Map returns which shard owns which key now. It is immutable.
func (p *Pool) Map() *Map { return p.current.Load() }

// Absent reports whether a shard serves no keys: it was ejected, it is no longer (or not yet) in
// the configuration, or it is a primary of a Cluster that serves no slot.
func (p *Pool) Absent(shard int) bool {
	m := p.Map()
	if m.Slotted() {
		return !m.Serves(shard)
	}
	return m.owners != nil && !m.owns[shard] || p.Conf().AutoEjectHosts && p.IsDown(shard)
}

// SetVersion records the version of Redis that the servers have.
func (p *Pool) SetVersion(v string) { p.version.Store(&v) }

// SetValkey records whether the servers are Valkey.
func (p *Pool) SetValkey(is bool) { p.valkey.Store(is) }

// Valkey reports whether the servers are Valkey; false while none has told.
func (p *Pool) Valkey() bool { return p.valkey.Load() }

// SetHello records how the servers name themselves in their reply to HELLO, as "valkey", and the version that they give there.
func (p *Pool) SetHello(name, version string) { p.hello.Store(&[2]string{name, version}) }

// Hello returns what a client is told in reply to HELLO of the server's name and version: what the servers say, or Redis
// and Version while none has told. Any goroutine may call it.
func (p *Pool) Hello() (name, version string) {
	if told := p.hello.Load(); told != nil {
		return told[0], told[1]
	}
	return "redis", p.Version()
}

// Version returns the version of Redis that the servers have, or the oldest supported one
// while no server has told its own.
func (p *Pool) Version() string {
	if v := p.version.Load(); v != nil {
		return *v
	}
	return "6.0.0"
}

// Local is one event loop's part of a pool: its connections to the servers. It belongs to
// the loop's goroutine.
type Local struct {
	*Pool

	// Static once the connections are used.
	loop    *eventloop.Loop
	owner   Owner
	changes ChangeListener            // see SetChangeListener
	reads   func(request []byte) bool // reports whether a request only reads; nil if unknown
	onLate  func()                    // see SetOnLate

	// Owned by the loop: who serves which key.
	taken         *Map // of a Cluster: the Map by which this loop places keys, see takeMap
	shards        []*localShard
	lastNumber    uint64 // see nextNumber
	slotsMoveAt   int64  // when a server last answered -ASK or -TRYAGAIN, as eventloop.Loop.Now; 0 for never
	slotsMoveTold int64  // when the other loops were told

	// Owned by the loop: connections.
	connSets   []*ConnSet
	refusals   map[kind]*knownRefusal          // kinds of connections that servers do not accept
	spares     map[dedicatedKey][]spare        // dedicated connections that no client has
	spareCount atomic.Int64                    // how many these are; other loops read it
	lent       map[*pipeline.Conn]dedicatedKey // dedicated connections that clients have
	login      loginConn                       // carries AUTH of clients
	hedges     hedges

	stats    map[*server]*stats.Server // nil if nothing is counted
	answer   stats.Answer              // the reply that is being handled
	topology stats.Topology            // rare events, which are counted in any case
}

// SetReads sets the function that reports whether a request only reads, so that it may be
// executed again. It must be called before the connections are used.
func (l *Local) SetReads(reads func(request []byte) bool) { l.reads = reads }

// SetOnLate sets what is called on the loop when a server that has lost its shard takes
// so long to answer that new requests no longer wait for it (see the table above
// localShard). From then on new requests may overtake those that are in flight there, so
// a client with any request in flight must send no more until all are answered. It must
// be called before the connections are used.
func (l *Local) SetOnLate(onLate func()) { l.onLate = onLate }

// Owner returns the shard that owns the keys of a request, or of the requests of a unit
// (MULTI to EXEC). ok is false if there are no keys, or if they are on several shards. It
// is called on the loop.
type Owner func(m *Map, requests []byte) (shard int, ok bool)

// NewLocal returns the part of one more loop. It is called on that loop's goroutine or
// before the loop runs. Connections are made at their first request, or now with
// preconnect. owner is needed where slots may move, to find the shard of a request that
// was refused; elsewhere it may be nil.
func (p *Pool) NewLocal(loop *eventloop.Loop, owner Owner) *Local {
	l := &Local{Pool: p, loop: loop, owner: owner, onLate: func() {}, changes: noListener{}, refusals: map[kind]*knownRefusal{}, spares: map[dedicatedKey][]spare{}, lent: map[*pipeline.Conn]dedicatedKey{}}
	if p.Map().Slotted() {
		l.taken = p.Map()
	}
	if p.Proxy().Statistics {
		l.stats = map[*server]*stats.Server{}
	}
	l.hedges.timer = loop.NewTimer(l.hedgeDue).OwnedBy(&l.hedges)
	l.grow()
	connSet := l.ConnSet(resp.RESP2, p.Conf().RedisDB)
	p.mu.Lock()
	p.locals = append(p.locals, l)
	p.mu.Unlock()
	if p.Conf().Preconnect {
		for _, c := range connSet.conns {
			c.Connect()
		}
	}
	return l
}

// Map returns which shard owns which key, as this loop knows it. In a Cluster each loop
// switches to a new Map by itself, after it has seen to the order of requests (takeMap).
func (l *Local) Map() *Map {
	if l.taken != nil {
		return l.taken
	}
	return l.Pool.Map()
}

// addShard makes this loop's part of one more shard.
func (l *Local) addShard(index int, who serving) {
	sh := &localShard{l: l, index: index, serving: who}
	sh.timer, sh.scriptTimer = l.loop.NewTimer(sh.tick).OwnedBy(sh), l.loop.NewTimer(sh.resendScripts).OwnedBy(sh)
	l.shards = append(l.shards, sh)
	for _, cs := range l.connSets {
		cs.add(sh)
	}
	if who.primary == nil {
		sh.holdAll()
	}
}

// Shards returns how many shards the pool has, including those that are down or Absent.
// In a Cluster the number may grow.
func (l *Local) Shards() int {
	if int(l.shardCount.Load()) != len(l.shards) {
		l.grow()
	}
	return len(l.shards)
}

// Close closes all connections for good.
func (l *Local) Close() {
	l.changes.Close()
	l.closeLogin()
	for _, sh := range l.shards {
		if sh.acker != nil {
			sh.acker.close()
		}
	}
	for _, cs := range l.connSets {
		for _, c := range cs.all() {
			c.Close()
		}
	}
	for c := range l.lent {
		c.Close()
	}
	l.closeSpares(func(dedicatedKey, spare) bool { return true })
}

// connsOf returns the connections to a static pool's server that are shared, or lent to a
// client.
func (l *Local) connsOf(server int) (conns []*pipeline.Conn) {
	for _, cs := range l.connSets {
		conns = append(conns, cs.connsTo(server)...)
	}
	for c, key := range l.lent {
		if key.shard == server {
			conns = append(conns, c)
		}
	}
	return conns
}

// suspend closes the connections to a static pool's server that is down; their requests
// fail until restore.
func (l *Local) suspend(server int) {
	why := l.outage(server)
	for _, c := range l.connsOf(server) {
		c.SuspendFor(why)
	}
}

// restore opens the shared connections to a server for requests again. Dedicated ones
// have ended for good.
func (l *Local) restore(server int) {
	for _, cs := range l.connSets {
		for _, c := range cs.connsTo(server) {
			c.Restore()
		}
	}
}
