// Package conf turns a configuration text into a validated Config.
//
// The text is TOML: one [proxy] table for the process and one [pools.NAME]
// table for each pool, with twemproxy's keys and meanings; or YAML, as twemproxy
// itself has it.
//
//	cfg, warnings, err := conf.Load("ringway.toml")
//	for _, w := range warnings {
//		log.Print(w) // works, but is probably a mistake
//	}
//	if err != nil {
//		log.Fatal(err) // a line for each mistake
//	}
//	ring, err := hashring.New(cfg.Pools[0].Ring())
//
// All mistakes are reported at once, each with its place in the file and what
// would be right (Mistakes, Diagnostic). A Config that Load or Parse returned needs
// no further checks.
//
// The package reads the named file, the certificates, passwords and users that it names, and
// the environment variables that its strings refer to. It does no other I/O: it neither resolves names nor opens sockets.
//
// To add a setting, give it a field in Proxy or Pool, a default with its reason
// in Default or DefaultPool, a key in proxySettings or poolSettings, a line in
// keyTopologies if only some topologies have it, and a place in
// examples/ringway.toml.
package conf

import (
	"log/slog"
	"net/netip"
	"time"

	"ringway/acl"
	"ringway/hashring"
	"ringway/limit"
)

// Config is a validated configuration. It never changes after Load, so any
// goroutine may read it.
type Config struct {
	Path  string // the file it came from, as given; "" for text without a file
	Hash  string // of its text without passwords: the first 12 hex digits of SHA-256; two processes with the same one were given the same text
	Proxy Proxy
	Admin Admin
	Pools []Pool // in the order of the file, at least one

	SecretFiles []string // the files that passwords were read from, absolute or relative to the process's directory

	Nutcracker bool     // the file is a nutcracker.yml
	LeftOut    []string // names of its pools of memcached servers, which are not in Pools

	lines map[place]int // of what the file has; see Changes
	shown string        // see Text
}

// Proxy holds the settings of the whole process: the [proxy] table. A field has the
// name of its key, unless its comment names another.
type Proxy struct {
	WatchConfig bool       // reload this file when it has changed; default false
	Threads     int        // event loops; default 0: one per core
	IOUring     bool       // read and write many connections in one system call, where the kernel permits it; default true
	LogLevel    slog.Level // default info
	LogFormat   string     // "text" (default) or "json"
	AuditLog    string     // where the audit log goes: "stderr" or the path of a file; default "": there is none
	Instance    string     // how servers see this process: a part of the names of its connections; default "": host and process number
	Zone        string     // the proxy's own zone, for read_from = "zone"; default "": none
	Statistics  bool       // count requests, bytes, errors and latencies; default true

	StatsListen Listen // the address for statistics in twemproxy's form; the zero Listen (default): nothing listens

	// Clients.
	MaxClients          int           // clients of all pools together; default 10000
	ClientIdleTimeout   time.Duration // a client silent for so long is closed; default 0: never
	ClientKeepAlive     time.Duration // key client_keepalive: silence after which TCP asks the client's host whether it is there; 0: never; default 300s
	ClientSubscriptions int           // channels and patterns that one client may be subscribed to, and prefixes that it may track; default 100000
	DrainDelay          time.Duration // time at shutdown in which clients are still accepted and served as before; default 0
	DrainTimeout        time.Duration // time that requests under way get after that; default 10s

	// Bounds on requests.
	MaxRequest  int64 // bytes of one request, all arguments together; default 1 GiB, as Redis's client-query-buffer-limit
	MaxBulk     int64 // bytes of one argument; default 512 MiB, as Redis's proto-max-bulk-len
	MaxArgs     int   // arguments of one request; default 16777216
	GatherLimit int64 // bytes of sets from several shards that one SUNION, ZINTER or the like may gather; default 64 MiB

	// Bounds on what waits.
	MaxMemory         int64 // bytes held for clients and servers over all loops, at which the clients that hold most are closed; default 0: half of the machine's or container's memory
	TrackingKeys      int   // keys that a loop remembers for clients with CLIENT TRACKING, counted per client; beyond that some are invalidated early; default 1000000
	ClientPipeline    int   // requests of one client that await their replies; at the bound its socket is not read; default 1024
	ClientOutput      int64 // bytes of replies that wait for one client; above the bound its socket is not read; default 1 MiB
	ClientOutputLimit int64 // bytes of replies that wait for one client; at the bound it is closed; default 1 GiB
	ServerQueue       int   // requests that await replies on one connection to a server; at the bound its clients are not read; default 65536
	ServerQueueBytes  int64 // unwritten bytes of requests for one connection to a server; at the bound its clients are not read; default 64 MiB
	ServerReplyBytes  int64 // bytes of replies expected on one connection to a server; at the bound clients with large replies wait; default 32 MiB

	// Publish and subscribe.
	PubSubOutputLimit     int64         // bytes that wait for a subscribed client; at the bound it is closed; default 32 MiB
	PubSubOutputSoft      int64         // key pubsub_output_soft_limit: it is closed as well if so many wait for PubSubOutputTime; default 8 MiB
	PubSubOutputTime      time.Duration // key pubsub_output_soft_time; default 60s
	SubscriberConnections int           // connections of a loop to each server for subscriptions, at most; clients are spread over them; default 8
	OnLostSubscription    string        // what happens to clients when such a connection is lost: "keep" (default) or "close"
}

// AuditToStderr is the Proxy.AuditLog of an audit log that goes to standard error.
const AuditToStderr = "stderr"

// Pool is one [pools.NAME] table: servers that look like one Redis behind one
// listen address. A field has the name of its key, unless its comment names another.
type Pool struct {
	Name string

	// The listener.
	Listen            Listen
	Backlog           int            // listen(2) backlog; default 512
	ReusePort         bool           // SO_REUSEPORT on the listener
	ProxyProtocol     bool           // connections begin with a header of the PROXY protocol that names the client; default false
	ProxyProtocolFrom []netip.Prefix // only those from these networks do, and ProxyProtocol is true; default nil: all
	AllowNetworks     []netip.Prefix // networks of clients that may connect; default nil: all
	DenyNetworks      []netip.Prefix // networks of clients that may not; they have precedence; default nil
	MaxClients        int            // key client_connections: clients of this pool; default 0: no bound but Proxy.MaxClients

	// Which shard owns a key. A Cluster has its own rule.
	Hash           string              // default "xxhash64"
	Distribution   string              // ketama (default), modula, random or bounded
	HashTag        string              // two bytes, opening and closing, or "" for none; default "{}", which a Cluster always has
	Together       []hashring.Together // keys that have one place although they carry no hash tag; default nil: none
	HashSignedChar bool                // bytes from 0x80 are hashed as x86 builds of twemproxy do; default true

	// What servers there are. See Topology for which of the lists is set.
	Topology      string    // Static (default), Replicated, Sentinel or Cluster
	Servers       []Server  // Static: in twemproxy's index order (by length of Name, then bytes). Cluster: the servers to ask first, in the order of the text. Otherwise nil
	Shards        []Shard   // Replicated and Sentinel: in the same index order. Otherwise nil
	Sentinels     []Address // Sentinel: where they listen. Otherwise nil
	DefaultServer string    // name of the server or shard for commands that concern none in particular; default "": the first

	// Connections to servers.
	Timeout           time.Duration // from a request's arrival to its reply; default 0: none
	ConnectTimeout    time.Duration // for one connection attempt; default 1s
	TCPKeepAlive      bool          // key tcpkeepalive: SO_KEEPALIVE on client and server sockets
	ServerConnections int           // connections of each loop to each server; default 1
	PinnedConnections int           // dedicated connections, over all loops and servers; default 1024
	Preconnect        bool          // connect at start instead of at the first request
	ReplyCheck        time.Duration // how often a connection in use proves that its replies are in order; 0: never; default 100ms
	ClientSetName     bool          // connections to servers give themselves a name; default true
	SlowRequest       time.Duration // requests that take as long are in the slow log; 0: only the slowest; default 10ms
	LogKeys           string        // how slow log and big values show keys: "plain" (default), "hash" or "none"
	BigValue          int64         // bytes from which a request or reply is big; default 1 MiB
	BigValueAction    string        // "log" (default) or "count" it, or "refuse" requests
	MergeSets         bool          // SETs that a client sends behind each other go to a server as one MSET; default false

	// Credentials, databases and commands.
	RedisAuth                  string                    // password that clients must give and servers get; default "": none
	RedisUser                  string                    // ACL user whose password RedisAuth is at the servers; default "": the default user
	SentinelUser, SentinelAuth string                    // user and password at the Sentinels; default "": the default user, and no password
	ServerTLS, SentinelTLS     *TLS                      // TLS to servers and to Sentinels; nil: in clear
	TLSUser                    string                    // key tls_user: what of a client's certificate is the name of its user: UserOff (default), UserCN, UserURI or UserDNS
	ClientTLS                  *ClientTLS                // key tls: TLS with clients; nil: in clear
	PlainAndTLS                bool                      // key plain_and_tls: clients may speak TLS or not; default false: with ClientTLS they must
	ACLUsers                   int                       // key acl_users: ACL users of the servers as whom clients may AUTH; default 0: none but the pool's own
	Users                      *acl.Users                // keys users and acl_file: who clients may be, and what they may do; with the default user; default nil: only the default user, who may do everything
	Limits                     limit.Settings            // what all clients together may use; default: no limit
	UserLimits                 limit.Settings            // what the clients of each user may use that is not in OwnLimits; likewise
	OwnLimits                  map[string]limit.Settings // key limits of a user's table in users: that of single users, by their names; default nil
	NetworkLimits              NetworkLimits             // what the clients of each network may use; default: no limit
	RedisDB                    int                       // database that clients find selected
	Databases                  int                       // clients may SELECT the databases below this number; 1: none but RedisDB; default 16, but 1 in a Cluster and with RedisDB
	AllowCommands              []string                  // guarded commands that are served all the same, in lower case: "keys", "config|get", "@admin", "*"; a container means its subcommands
	DenyCommands               []string                  // commands that are refused, written likewise; they have precedence
	Transactions               string                    // what becomes of MULTI with keys of several shards: OneShard (default) or PerShard

	// Ejection, in static pools.
	AutoEjectHosts     bool          // take a failed server off the ring until it answers again; key eject too
	ServerFailureLimit int           // failures in a row that eject; default 2
	ServerRetryTimeout time.Duration // an ejected server is not probed earlier; default 30s
	Restore            string        // what happens to an ejected server's data before it gets its keys back: RestoreKeep or RestoreFlush

	// Primaries that change, in all other pools.
	ReadFrom        string            // ReadPrimary (default), ReadPreferReplica, ReadReplica, ReadLowestLatency or ReadZone
	MaxReplicaLag   time.Duration     // a replica further behind its primary is not read; 0: no bound; default 10s
	HedgeAfter      time.Duration     // a read without reply for so long is sent to a second server too; default 0: never
	FailoverWait    time.Duration     // how long requests wait for a new primary; default 5s
	ReplicaAcks     string            // when replies wait until the replicas have what they acknowledge: AcksAuto (default), AcksAlways or AcksNever
	ProbeInterval   time.Duration     // how often servers, Sentinels and the Cluster are polled; default 1s
	ResolveInterval time.Duration     // how often host names are resolved again, in static pools too; 0: only at each connection; default 10s
	AddressMap      map[string]string // from addresses that servers and Sentinels announce to those to connect to; see MapAddr
	Zones           []Zone            // which servers are in which zone; see ZoneOf
}

// Listen is the address that a pool's clients connect to.
type Listen struct {
	Network string // "tcp" or "unix"
	Addr    string // "host:port" with IPv6 hosts in brackets, or an absolute path
	Mode    uint32 // permissions of a unix socket, such as 0o666; 0 leaves those of the umask
}

// Server is one Redis process of a pool.
type Server struct {
	Name    string // its name on the ring: as given, or as twemproxy derives it from the address
	Network string // "tcp" or "unix"
	Addr    string // as Listen.Addr
	Weight  int    // at least 1
}
