package pool

import (
	"sync"
	"sync/atomic"
	"time"

	"ringway/pipeline"
	"ringway/resp"
)

// server is what a pool knows about one server.
type server struct {
	pool          *Pool
	index         int // of its shard; -1 in a Cluster
	name          string
	title         string // for clients: by its name in the configuration, or its shard's; "" for neither
	network, addr string
	failures      atomic.Int32 // consecutive ones, over all loops
	warned        atomic.Bool  // that it lost count of its replies
	attempts      pipeline.Attempts
	counted       atomic.Int64 // when the last one was counted, in nanoseconds since started; 0 for never

	// Guarded by Pool.mu.
	downAt     time.Time
	outage     *pipeline.Outage // why it is down
	restoring  bool             // it is down, and the loops are told to use it again
	restoredAt time.Time
	relapses   int // how often in a row it has failed soon after it was restored

	leaving   atomic.Bool   // it is ejected as soon as there is a ring without it
	lastCheck atomic.Int64  // when a look was asked for, in nanoseconds since started; 0 for never
	noted     atomic.Uint32 // the notices that were logged, as bits

	markers pipeline.MarkerSupport // of the pool's own user

	mu      sync.Mutex // guards what follows
	configs map[configKey]*pipeline.Config
}

// markersOf returns what is known of the markers that a user may send.
func (s *server) markersOf(user *User) *pipeline.MarkerSupport {
	if user == nil {
		return &s.markers
	}
	return user.markersAt(s)
}

type configKey struct {
	kind
	use use
}

// use is what a connection is for.
type use uint8

const (
	forAll   use = iota // shared by all clients
	forOne              // one client has it to itself
	forReads            // shared by all clients, for reads from a replica
	forLogin            // credentials of clients are tried over it
)

// config returns what connections of one kind and use need to know.
func (s *server) config(k kind, u use) *pipeline.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := configKey{k, u}
	if c := s.configs[key]; c != nil {
		return c
	}
	p := s.pool
	c := &pipeline.Config{
		Network: s.network, Addr: s.addr, Name: s.title,
		TLS: p.tls, Protocol: k.protocol, Auth: p.auth(k.user), DB: k.db,
		Timeout: p.conf.Timeout, ConnectTimeout: p.conf.ConnectTimeout, KeepAlive: true,
		MaxRequests: p.proxy.ServerQueue, MaxBytes: int(p.proxy.ServerQueueBytes), MaxReplies: int(p.proxy.ServerReplyBytes),
		Replies:  resp.DefaultReplyLimits,
		Attempts: &s.attempts, PingAfterLoss: true, ReplyCheck: p.conf.ReplyCheck, MarkerSupport: s.markersOf(k.user),
		Once: u == forOne, ReadsOnly: u == forReads, Replica: u == forReads && p.m.Load().Slotted(),
	}
	if k.user != nil && k.db != 0 {
		c.SelectAs = p.Credentials(nil) // the user found the database selected, and may not be allowed to
	}
	if u == forLogin {
		c.Auth = nil
		if c.Timeout == 0 {
			c.Timeout = c.ConnectTimeout
		}
	}
	if s.configs == nil {
		s.configs = map[configKey]*pipeline.Config{}
	}
	if k.user == nil { // users come and go
		s.configs[key] = c
	}
	return c
}

// serverAt returns the server at an address, which is made known if it is not;
// nil for no address. The caller holds p.mu, or has the pool to itself.
func (p *Pool) serverAt(addr string, shard int) *server {
	if addr == "" {
		return nil
	}
	if s := p.byAddr[addr]; s != nil {
		return s
	}
	s := &server{pool: p, index: p.watched(shard), name: addr, network: "tcp", addr: addr}
	if addr[0] == '/' {
		s.network = "unix"
	}
	if s.index >= 0 {
		s.title = "shard " + p.shards[shard].name
	}
	p.byAddr[addr] = s
	return s
}

// watched is what the control plane calls a shard: a Cluster is watched as a
// whole.
func (p *Pool) watched(shard int) int {
	if p.full == nil {
		return -1
	}
	return shard
}
