package pool

import (
	"sync"
	"sync/atomic"
	"time"

	"ringway/pipeline"
	"ringway/resp"
)

// server is what a pool knows of one server.
type server struct {
	// Static after construction.
	pool          *Pool
	index         int // of its shard; -1 in a Cluster
	name          string
	title         string // its name in errors for clients: its own or its shard's; "" for neither
	network, addr string

	// Atomic: any loop.
	failures       atomic.Int32  // in a row, over all loops
	failureAt      atomic.Int64  // when the last one was counted, in nanoseconds since started; 0 for never
	byHand         atomic.Bool   // an operator has taken it down: only RestoreByHand brings it back
	ejecting       atomic.Bool   // it will be ejected as soon as there is a ring without it
	loadingCheckAt atomic.Int64  // see checkLoading, in nanoseconds since started; 0 for never
	usedAt         atomic.Int64  // see sweepCounts, in nanoseconds since started
	loggedNotices  atomic.Uint32 // which notices were logged, by their bits
	miscountLogged atomic.Bool   // see miscounted
	acksLapsed     atomic.Bool   // see acker.lapse

	attempts pipeline.Attempts      // to connect, of all loops
	markers  pipeline.MarkerSupport // of the pool's own user

	// Guarded by Pool.mu.
	downAt     time.Time
	outage     *pipeline.Outage // why it is down
	restoring  bool             // it is down, and the loops were asked to use it again
	restoredAt time.Time
	relapses   int           // how often in a row it has failed soon after it was restored
	takenDown  uint64        // how often it was taken down
	lag        time.Duration // of a replica, behind its primary
	lagKnown   bool

	mu sync.Mutex // guards the field below

	// Guarded by mu.
	configs map[configKey]*pipeline.Config
}

// markersOf returns what is known of the markers that a user may send; nil is the pool's
// own user.
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
	useShared    use = iota // shared by all clients
	useDedicated            // one client has it to itself
	useReads                // shared by all clients, for reads from a replica
	useLogin                // credentials of clients are tried over it
	useAcks                 // replicas' acknowledgements are asked for over it
)

// config returns the configuration of connections of one kind and use. Connections share
// it.
func (s *server) config(k kind, u use) *pipeline.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := configKey{k, u}
	if c := s.configs[key]; c != nil {
		return c
	}
	p := s.pool
	c := &pipeline.Config{
		Network: s.network, Addr: s.addr, Name: s.title, ClientName: ConnectionName(p.Conf(), p.Proxy()),
		TLS: p.settings.Load().tls, Protocol: k.protocol, Auth: p.auth(k.user), DB: k.db,
		Timeout: p.Conf().Timeout, ConnectTimeout: p.Conf().ConnectTimeout, KeepAlive: true,
		MaxRequests: p.Proxy().ServerQueue, MaxBytes: int(p.Proxy().ServerQueueBytes), MaxReplies: int(p.Proxy().ServerReplyBytes),
		Replies:  resp.DefaultReplyLimits,
		Attempts: &s.attempts, PingAfterLoss: true, ReplyCheck: p.Conf().ReplyCheck, MarkerSupport: s.markersOf(k.user),
		Once: u == useDedicated, ReadsOnly: u == useReads, Replica: u == useReads && p.current.Load().Slotted(),
	}
	if k.user != nil && k.db != 0 {
		c.SelectAs = p.Credentials(nil) // who may SELECT, which the user may not
	}
	if u == useLogin {
		c.Auth, c.ClientName = nil, "" // before AUTH a server may refuse the name
		if c.Timeout == 0 {
			c.Timeout = c.ConnectTimeout
		}
	}
	if u == useAcks {
		c.Timeout, c.ReplyCheck = 0, 0 // WAIT takes its time
	}
	if s.configs == nil {
		s.configs = map[configKey]*pipeline.Config{}
	}
	if k.user == nil { // users come and go, and would fill the map
		s.configs[key] = c
	}
	return c
}

// serverAt returns the server at an address, which it adds if it is new; nil for the
// address "". The caller holds p.mu, or is New.
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

// watched returns the number by which the control plane knows a shard: -1 in a Cluster,
// which is watched as a whole.
func (p *Pool) watched(shard int) int {
	if p.slotted {
		return -1
	}
	return shard
}
