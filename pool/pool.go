// Package pool holds one pool: its ring of servers, which of them are down,
// and each event loop's connections to them.
//
// A Pool is shared by all loops, and what it shares is immutable (the ring,
// swapped whole through an atomic pointer when a server is ejected or
// restored) or an atomic counter that is only written when something fails.
// A Local is one loop's part: its own connections to every server.
package pool

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

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
	log     *slog.Logger
	full    *hashring.Ring // with all servers
	servers []*server
	watcher Watcher

	ring    atomic.Pointer[hashring.Ring] // of the servers that are not ejected
	pinned  atomic.Int64                  // pinned connections over all loops, spare ones included
	version atomic.Pointer[string]        // of the servers, as INFO gives it

	mu     sync.Mutex // guards down and locals; never held while calling out
	down   []bool
	locals []*Local
}

// Watcher is told of servers that are down, to tell the pool with Restore when
// they are back. It is called from any goroutine and must return at once.
type Watcher interface {
	// Suspect tells that a shard's primary, addr, may be it no longer; the shard is
	// -1 for a whole Cluster. It comes as often as the data path meets it: the
	// watcher limits its own rate. Static pools do not call it.
	Suspect(p *Pool, shard int, addr string, why Suspicion)

	// ServerDown tells of a static pool's server, by its index.
	ServerDown(p *Pool, server int)
}

// server is what a pool knows about one server.
type server struct {
	pool     *Pool
	index    int
	name     string
	addr     string
	failures atomic.Int32 // consecutive ones, over all loops
	counted  atomic.Int64 // when the last one was counted, in nanoseconds since started; 0 for never
	configs  [resp.Protocols]pipeline.Config
	pins     [resp.Protocols]pipeline.Config // of connections that clients have to themselves

	downAt    time.Time // guarded by Pool.mu, as is
	restoring bool      // it is down, and the loops are told to use it again
}

// New returns a pool as c says, none of whose servers is down. The error is
// that of hashring.New, which a validated configuration does not cause. w may
// be nil: then a server that is down stays so until Restore. The caller keeps
// c as it is.
func New(c *conf.Pool, proxy *conf.Proxy, w Watcher, log *slog.Logger) (*Pool, error) {
	ring := hashring.Config{
		Hash: c.Hash, Distribution: c.Distribution, HashTag: c.HashTag, UnsignedChar: !c.HashSignedChar,
	}
	for _, s := range c.Servers {
		ring.Servers = append(ring.Servers, hashring.Server{Name: s.Name, Weight: s.Weight})
	}
	full, err := hashring.New(ring)
	if err != nil {
		return nil, err
	}
	p := &Pool{
		conf: c, log: log.With("pool", c.Name), full: full, watcher: w,
		down: make([]bool, len(c.Servers)),
	}
	p.ring.Store(full)
	for i, s := range c.Servers {
		srv := &server{pool: p, index: i, name: s.Name, addr: s.Addr}
		for protocol := range resp.Protocols {
			srv.configs[protocol] = pipeline.Config{
				Network: s.Network, Addr: s.Addr,
				Protocol: protocol, Password: c.RedisAuth, DB: c.RedisDB,
				Timeout: c.Timeout, ConnectTimeout: c.ConnectTimeout, KeepAlive: c.TCPKeepAlive,
				MaxRequests: proxy.ServerQueue, MaxBytes: int(proxy.ServerQueueBytes),
				Replies: resp.DefaultReplyLimits,
			}
			srv.pins[protocol] = srv.configs[protocol]
			srv.pins[protocol].Once = true
		}
		p.servers = append(p.servers, srv)
	}
	return p, nil
}

// Conf is the pool's configuration, not to be changed.
func (p *Pool) Conf() *conf.Pool { return p.conf }

// Ring is the ring of the servers that are not ejected. It is immutable; what
// must be placed consistently takes one Ring for all of it.
func (p *Pool) Ring() *hashring.Ring { return p.ring.Load() }

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
	lanes int // connections for each server, in each protocol

	// Those of server i from i*lanes. Those in RESP3 are made when the first
	// client asks for it.
	conns [resp.Protocols][]*pipeline.Conn
	pins  [resp.Protocols][][]*pipeline.Conn // for each server, pinned connections that no client has
	lent  map[*pipeline.Conn]int             // pinned connections that clients have, with their servers
	hub   *hub                               // of subscriptions; nil until the first
}

// NewLocal makes the connections of one loop, on that loop's goroutine or
// before it runs. They connect at their first request, or now with preconnect.
func (p *Pool) NewLocal(loop *eventloop.Loop) *Local {
	l := &Local{Pool: p, loop: loop, lanes: p.conf.ServerConnections, lent: map[*pipeline.Conn]int{}}
	for protocol := range l.pins {
		l.pins[protocol] = make([][]*pipeline.Conn, len(p.servers))
	}
	l.makeConns(resp.RESP2)
	p.mu.Lock()
	p.locals = append(p.locals, l)
	p.mu.Unlock()
	if p.conf.Preconnect {
		for _, c := range l.conns[resp.RESP2] {
			c.Connect()
		}
	}
	return l
}

// makeConns makes the shared connections in one protocol.
func (l *Local) makeConns(protocol resp.Protocol) {
	for i, s := range l.servers {
		for range l.lanes {
			c := pipeline.New(l.loop, &s.configs[protocol], s)
			if l.IsDown(i) {
				c.Suspend()
			}
			l.conns[protocol] = append(l.conns[protocol], c)
		}
	}
}

// Conn is the connection to a server that the client with the given number
// uses: always the same, so that the order of its requests does not change. The
// replies are in the given protocol.
func (l *Local) Conn(server int, client uint64, protocol resp.Protocol) *pipeline.Conn {
	conns := l.conns[protocol]
	if l.lanes == 1 && server < len(conns) {
		return conns[server]
	}
	if conns == nil {
		l.makeConns(protocol)
		conns = l.conns[protocol]
	}
	return conns[server*l.lanes+int(client%uint64(l.lanes))]
}

// Servers is how many servers the pool has, those that are down included.
func (l *Local) Servers() int { return len(l.servers) }

// Close closes the connections for good.
func (l *Local) Close() {
	l.closeSubscriptions()
	for server := range l.servers {
		for _, c := range l.connsOf(server) {
			c.Close()
		}
	}
	for protocol := range l.pins {
		for _, spare := range l.pins[protocol] {
			for _, c := range spare {
				c.Close()
			}
		}
	}
}

// connsOf returns the connections to a server that are in use, or shared.
func (l *Local) connsOf(server int) (conns []*pipeline.Conn) {
	for _, all := range l.conns {
		if all != nil {
			conns = append(conns, all[server*l.lanes:][:l.lanes]...)
		}
	}
	for c, pinned := range l.lent {
		if pinned == server {
			conns = append(conns, c)
		}
	}
	return conns
}

func (l *Local) suspend(server int) {
	for _, c := range l.connsOf(server) {
		c.Suspend()
	}
}

func (l *Local) restore(server int) {
	for _, all := range l.conns {
		if all != nil {
			for _, c := range all[server*l.lanes:][:l.lanes] {
				c.Restore()
			}
		}
	}
}
