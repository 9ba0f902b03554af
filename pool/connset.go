package pool

import (
	"math"
	"slices"

	"ringway/conf"
	"ringway/pipeline"
	"ringway/resp"
)

// ConnSet are one loop's shared connections to the servers of a pool, in one
// protocol and database. They belong to the loop's goroutine, and exist for as
// long as a session holds them, and a while longer.
type ConnSet struct {
	l     *Local
	kind  kind
	width int // connections for each server

	holders     int   // sessions
	unusedSince int64 // when the last of them left, as eventloop.Loop.Now

	conns []*pipeline.Conn // those to the primary of shard i from i*width

	// Where primaries change; nil in a static pool.
	reads    [][]*pipeline.Conn        // those that reads of shard i take first
	fallback []*pipeline.Conn          // those that they take else, ordered as conns
	links    map[link][]*pipeline.Conn // all that are in use

	taken bool   // servers have taken the handshake, and none has refused it since
	trial *trial // under way; nil if none is

	noReplica *pipeline.Conn // refuses reads that must not go to a primary; nil if they may
}

// kind is what connections to one server differ by.
type kind struct {
	protocol resp.Protocol
	db       int
	user     *User
}

// link is what a connection is for: the server of a shard, and whether it is
// only read.
type link struct {
	shard  int
	server *server
	reads  bool
}

// ConnSet returns the shared connections in a protocol and database, which are
// made when they are asked for first.
func (l *Local) ConnSet(protocol resp.Protocol, db int) *ConnSet {
	return l.ConnSetAs(nil, protocol, db)
}

// ConnSetAs is ConnSet for an ACL user, nil for the pool's own.
func (l *Local) ConnSetAs(user *User, protocol resp.Protocol, db int) *ConnSet {
	k := kind{protocol, db, user}
	if n := l.findConnSet(k); n != nil {
		return n
	}
	n := &ConnSet{l: l, kind: k, width: l.conf.ServerConnections, unusedSince: l.loop.Now()}
	if l.follows {
		n.links = map[link][]*pipeline.Conn{}
		if l.conf.ReadFrom == conf.ReadReplica {
			n.noReplica = n.refusing(pipeline.Refusal("ERR no replica of this shard is fit to be read, and read_from = \"replica\" rules out its primary"))
		}
	}
	for _, sh := range l.shards {
		n.add(sh)
	}
	l.shared = append(l.shared, n)
	return n
}

// DB is the database.
func (n *ConnSet) DB() int { return n.kind.db }

// Conn is the connection to a shard's primary that the client with the given
// number uses: always the same, so that the order of its requests does not
// change.
func (n *ConnSet) Conn(shard int, client uint64) *pipeline.Conn {
	if n.width == 1 && shard < len(n.conns) {
		return n.conns[shard]
	}
	if shard*n.width >= len(n.conns) {
		n.l.grow() // a Map may be ahead of what this loop has heard
	}
	return n.conns[shard*n.width+int(client%uint64(n.width))]
}

// ReadConn is the connection for a request of a client that only reads: to a
// replica, if the pool says so and one is fit.
func (n *ConnSet) ReadConn(shard int, client uint64) *pipeline.Conn {
	if n.reads == nil {
		return n.Conn(shard, client)
	}
	if shard >= len(n.reads) {
		n.l.grow()
	}
	conns := n.reads[shard]
	for i := range conns {
		// A client keeps to one of them, so that it does not see time go back.
		if c := conns[(client+uint64(i))%uint64(len(conns))]; c.Up() && !c.FullForReads() {
			return c
		}
	}
	if n.noReplica == nil {
		return n.fallback[shard*n.width+int(client%uint64(n.width))]
	}
	if len(conns) == 0 {
		return n.noReplica
	}
	return conns[client%uint64(len(conns))]
}

// add makes the connections to one more shard.
func (n *ConnSet) add(sh *localShard) {
	if !n.l.follows {
		for range n.width {
			c := pipeline.New(n.l.loop, sh.primary.config(n.kind, forAll), n.observer(sh.primary))
			if n.l.IsDown(sh.index) {
				c.SuspendFor(n.l.outage(sh.index))
			}
			n.conns = append(n.conns, c)
		}
		return
	}
	n.conns = append(n.conns, make([]*pipeline.Conn, n.width)...)
	n.fallback = append(n.fallback, make([]*pipeline.Conn, n.width)...)
	n.reads = append(n.reads, nil)
	n.aim(sh)
	n.aimReads(sh)
}

// of returns the connections to a shard's primary.
func (n *ConnSet) of(shard int) []*pipeline.Conn { return n.conns[shard*n.width:][:n.width] }

// aim points the connection sets at a shard's primary. It returns the connections to the
// last one, which take no further request.
func (n *ConnSet) aim(sh *localShard) (retired []*pipeline.Conn) {
	was := append([]*pipeline.Conn(nil), n.fallback[sh.index*n.width:][:n.width]...)
	to := n.connect(link{sh.index, sh.primary, false})
	for _, c := range to {
		c.SetGate(sh.gate())
	}
	copy(n.fallback[sh.index*n.width:], to)
	copy(n.of(sh.index), to)
	if sh.refusal != nil {
		for i := range n.of(sh.index) {
			n.of(sh.index)[i] = n.refusing(sh.refusal)
		}
	}
	if was[0] == nil || was[0] == to[0] {
		return nil
	}
	for k, conns := range n.links {
		if conns[0] == was[0] {
			delete(n.links, k)
		}
	}
	for _, c := range was {
		c.Retire()
	}
	return was
}

// aimReads points the connection sets at the servers that reads of a shard go to first.
func (n *ConnSet) aimReads(sh *localShard) {
	var conns []*pipeline.Conn
	for _, s := range sh.readers {
		if s == sh.primary {
			conns = append(conns, n.fallback[sh.index*n.width])
		} else {
			conns = append(conns, n.connect(link{sh.index, s, true})[0])
		}
	}
	n.reads[sh.index] = conns
	for k, unused := range n.links {
		if k.shard == sh.index && k.reads && !slices.Contains(sh.readers, k.server) {
			delete(n.links, k)
			unused[0].Retire()
		}
	}
}

// refusing returns a connection that has nothing but an error for requests.
func (n *ConnSet) refusing(cause error) *pipeline.Conn {
	c := pipeline.New(n.l.loop, nowhere, ignored{})
	c.Refuse(cause)
	return c
}

// nowhere is the server of connections that are never made.
var nowhere = &pipeline.Config{MaxRequests: math.MaxInt32, MaxBytes: math.MaxInt32}

// ignored is an Observer of those.
type ignored struct{}

func (ignored) Succeeded()        {}
func (ignored) Failed(error) bool { return false }
func (ignored) Complained([]byte) {}

// connect returns the connections of a link, which are made if there are none.
func (n *ConnSet) connect(k link) []*pipeline.Conn {
	if conns := n.links[k]; conns != nil {
		return conns
	}
	use, width := forAll, n.width
	if k.reads {
		use, width = forReads, 1
	}
	var conns []*pipeline.Conn
	for lane := range width {
		if k.server == nil {
			conns = append(conns, n.refusing(ErrNoPrimary))
			continue
		}
		r := &route{conns: n, shard: k.shard, conn: lane, server: k.server, reads: k.reads}
		c := pipeline.New(n.l.loop, k.server.config(n.kind, use), r)
		c.SetRedirector(r)
		if n.l.conf.Preconnect {
			n.l.loop.Defer(preconnect{c}) // it may fail at once, and the shard is not complete yet
		}
		conns = append(conns, c)
	}
	n.links[k] = conns
	return conns
}

// preconnect makes a connection before its first request.
type preconnect struct{ c *pipeline.Conn }

// RunDeferred is eventloop.Deferred's.
func (p preconnect) RunDeferred() { p.c.Connect() }

// all returns the connections of the connection sets.
func (n *ConnSet) all() (conns []*pipeline.Conn) {
	conns = append(conns, n.conns...)
	for _, of := range n.links {
		conns = append(conns, of...)
	}
	return conns
}
