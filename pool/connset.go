package pool

import (
	"math"
	"slices"

	"ringway/conf"
	"ringway/pipeline"
	"ringway/resp"
)

// ConnSet is one loop's shared connections to the servers of a pool, in one protocol and
// database and for one user. It belongs to the loop's goroutine. It exists while a session
// retains it, and a while longer.
type ConnSet struct {
	// Static after construction.
	l         *Local
	kind      kind
	width     int            // connections to each server
	noReplica *pipeline.Conn // fails reads that must not go to a primary; nil if they may

	// Owned by the loop.
	holders     int   // sessions that retain it
	unusedSince int64 // when the last of them released it, as eventloop.Loop.Now
	accepted    bool  // servers have accepted the handshake, and none has refused it since
	check       *handshakeCheck

	// Owned by the loop: connections to primaries. Those of shard i begin at i*width.
	conns        []*pipeline.Conn // for any request
	primaryConns []*pipeline.Conn // the same where primaries change, but for a shard that refuses writes: reads still use these

	// Owned by the loop, where primaries change; nil in a static pool.
	reads      [][]*pipeline.Conn            // those that reads of shard i use first
	byEndpoint map[endpoint][]*pipeline.Conn // all that are in use
}

// kind is what distinguishes connections to one server.
type kind struct {
	protocol resp.Protocol
	db       int
	user     *User
}

// endpoint is what a connection is for.
type endpoint struct {
	shard  int
	server *server
	reads  bool // only reads of a replica
}

// ConnSet returns the shared connections in a protocol and database for the pool's own
// user. They are made at the first call. A caller that keeps the set must Retain it.
func (l *Local) ConnSet(protocol resp.Protocol, db int) *ConnSet {
	return l.ConnSetAs(nil, protocol, db)
}

// ConnSetAs is ConnSet for an ACL user; nil is the pool's own.
func (l *Local) ConnSetAs(user *User, protocol resp.Protocol, db int) *ConnSet {
	k := kind{protocol, db, user}
	if cs := l.findConnSet(k); cs != nil {
		return cs
	}
	cs := &ConnSet{l: l, kind: k, width: l.Conf().ServerConnections, unusedSince: l.loop.Now()}
	if l.follows {
		cs.byEndpoint = map[endpoint][]*pipeline.Conn{}
		cs.setNoReplica()
	}
	for _, sh := range l.shards {
		cs.add(sh)
	}
	l.connSets = append(l.connSets, cs)
	return cs
}

// setNoReplica sets what becomes of reads for which no replica is fit, by read_from.
func (cs *ConnSet) setNoReplica() {
	cs.noReplica = nil
	if cs.l.Conf().ReadFrom == conf.ReadReplica {
		cs.noReplica = cs.refusing(pipeline.Refusal("ERR no replica of this shard is fit to be read, and read_from = \"replica\" rules out its primary"))
	}
}

// Outdated reports whether a Reconfigure has changed how many connections to each server there are.
// A client gets the new number when it is given a ConnSet anew.
func (cs *ConnSet) Outdated() bool { return cs.width != cs.l.Conf().ServerConnections }

// DB returns the number of the database.
func (cs *ConnSet) DB() int { return cs.kind.db }

// Conn returns the connection to a shard's primary for the client with the given number.
// It is always the same one while the primary is, so that a client's requests keep their
// order.
func (cs *ConnSet) Conn(shard int, client uint64) *pipeline.Conn {
	if cs.width == 1 && shard < len(cs.conns) {
		return cs.conns[shard]
	}
	if shard*cs.width >= len(cs.conns) {
		cs.l.grow() // the Map may name shards that this loop does not know yet
	}
	return cs.conns[shard*cs.width+int(client%uint64(cs.width))]
}

// Connected reports whether there is a connection to a primary.
func (cs *ConnSet) Connected() bool {
	return slices.ContainsFunc(cs.conns, func(c *pipeline.Conn) bool { return c != nil && c.Connected() })
}

// ReadConn returns the connection for a request of a client that only reads: to a replica
// if the pool reads replicas and one is available, else to the primary.
func (cs *ConnSet) ReadConn(shard int, client uint64) *pipeline.Conn {
	if cs.reads == nil {
		return cs.Conn(shard, client)
	}
	if shard >= len(cs.reads) {
		cs.l.grow()
	}
	conns := cs.reads[shard]
	for i := range conns {
		// A client keeps to one replica, so that it does not see older data after newer.
		if c := conns[(client+uint64(i))%uint64(len(conns))]; c.Up() && !c.FullForReads() {
			return c
		}
	}
	if cs.noReplica == nil {
		return cs.primaryConns[shard*cs.width+int(client%uint64(cs.width))]
	}
	if len(conns) == 0 {
		return cs.noReplica
	}
	return conns[client%uint64(len(conns))]
}

// add makes the connections to one more shard.
func (cs *ConnSet) add(sh *localShard) {
	if !cs.l.follows {
		for range cs.width {
			c := cs.l.newConn(sh.primary, sh.primary.config(cs.kind, useShared), cs.observer(sh.primary))
			if sh.removed {
				c.Suspend()
			} else if cs.l.IsDown(sh.index) {
				c.SuspendFor(cs.l.outage(sh.index))
			}
			cs.conns = append(cs.conns, c)
		}
		return
	}
	cs.conns = append(cs.conns, make([]*pipeline.Conn, cs.width)...)
	cs.primaryConns = append(cs.primaryConns, make([]*pipeline.Conn, cs.width)...)
	cs.reads = append(cs.reads, nil)
	cs.connectPrimary(sh)
	cs.connectReaders(sh)
}

// connsTo returns the connections to a shard's primary.
func (cs *ConnSet) connsTo(shard int) []*pipeline.Conn { return cs.conns[shard*cs.width:][:cs.width] }

// connectPrimary replaces the connections to a shard's primary by those to the one that
// it has now. It returns the ones to the last primary, which accept no further request.
func (cs *ConnSet) connectPrimary(sh *localShard) (retired []*pipeline.Conn) {
	was := append([]*pipeline.Conn(nil), cs.primaryConns[sh.index*cs.width:][:cs.width]...)
	to := cs.connect(endpoint{sh.index, sh.primary, false})
	for _, c := range to {
		c.SetGate(sh.gate())
		sh.setAcker(c)
	}
	copy(cs.primaryConns[sh.index*cs.width:], to)
	copy(cs.connsTo(sh.index), to)
	if sh.refusal != nil {
		for i := range cs.connsTo(sh.index) {
			cs.connsTo(sh.index)[i] = cs.refusing(sh.refusal)
		}
	}
	if was[0] == nil || was[0] == to[0] {
		return nil
	}
	for k, conns := range cs.byEndpoint {
		if conns[0] == was[0] {
			delete(cs.byEndpoint, k)
		}
	}
	for _, c := range was {
		c.Retire()
	}
	return was
}

// connectReaders replaces the connections for reads of a shard by those to its readers.
func (cs *ConnSet) connectReaders(sh *localShard) {
	var conns []*pipeline.Conn
	for _, s := range sh.readers {
		if s == sh.primary {
			conns = append(conns, cs.primaryConns[sh.index*cs.width])
		} else {
			conns = append(conns, cs.connect(endpoint{sh.index, s, true})[0])
		}
	}
	cs.reads[sh.index] = conns
	for k, unused := range cs.byEndpoint {
		if k.shard == sh.index && k.reads && !slices.Contains(sh.readers, k.server) {
			delete(cs.byEndpoint, k)
			unused[0].Retire()
		}
	}
}

// refusing returns a connection that fails every request with cause.
func (cs *ConnSet) refusing(cause error) *pipeline.Conn {
	c := pipeline.New(cs.l.loop, nowhere, ignored{})
	c.Refuse(cause)
	return c
}

// nowhere is the configuration of connections that are never made.
var nowhere = &pipeline.Config{MaxRequests: math.MaxInt32, MaxBytes: math.MaxInt32}

// ignored is the Observer of connections whose health does not matter.
type ignored struct{}

func (ignored) Succeeded()        {}
func (ignored) Failed(error) bool { return false }
func (ignored) Complained([]byte) {}

// connect returns the connections to an endpoint. It makes them if there are none.
func (cs *ConnSet) connect(k endpoint) []*pipeline.Conn {
	if conns := cs.byEndpoint[k]; conns != nil {
		return conns
	}
	use, width := useShared, cs.width
	if k.reads {
		use, width = useReads, 1
	}
	var conns []*pipeline.Conn
	for i := range width {
		if k.server == nil {
			conns = append(conns, cs.refusing(ErrNoPrimary))
			continue
		}
		r := &route{conns: cs, shard: k.shard, conn: i, server: k.server, reads: k.reads}
		c := cs.l.newConn(k.server, k.server.config(cs.kind, use), r)
		c.SetRedirector(r)
		if cs.l.Conf().Preconnect {
			cs.l.loop.Defer(preconnect{c}) // it may fail at once, while the shard is still being set up
		}
		conns = append(conns, c)
	}
	cs.byEndpoint[k] = conns
	return conns
}

// preconnect makes a connection before its first request.
type preconnect struct{ c *pipeline.Conn }

// RunDeferred is eventloop.Deferred's.
func (p preconnect) RunDeferred() { p.c.Connect() }

// all returns all connections of the set; some of them twice.
func (cs *ConnSet) all() (conns []*pipeline.Conn) {
	conns = append(conns, cs.conns...)
	for _, of := range cs.byEndpoint {
		conns = append(conns, of...)
	}
	return conns
}
