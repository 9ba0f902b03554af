// Package conf turns a configuration text into a validated Config.
//
// The text is TOML: one [proxy] table for the process and one [pools.NAME]
// table for each pool, with twemproxy's keys and meanings. Every mistake is
// reported at once, each with its place in the file and what would be right;
// a Config that Load returned needs no further checks.
//
// The package reads the named file and those with certificates that it names,
// and does no other I/O: it neither resolves names nor opens sockets.
package conf

import (
	"log/slog"
	"time"
)

// Config is a validated configuration. It is never changed after Load, so
// any goroutine may read it.
type Config struct {
	Path  string // the file it came from, as given; "" for text without a file
	Proxy Proxy
	Pools []Pool // in the order of the file, at least one
}

// Proxy holds what concerns the whole process: the [proxy] table.
type Proxy struct {
	Threads   int        // event loops; 0 means one per core
	IOUring   bool       // read and write many connections in one system call, where the kernel lets us; default true
	LogLevel  slog.Level // default info
	LogFormat string     // "text" (default) or "json"
	Zone      string     // where the proxy stands, for read_from = "zone"; "" for nowhere in particular

	MaxClients        int           // accepted clients over all pools; default 10000
	ClientIdleTimeout time.Duration // a client silent for so long is closed; 0 (default) means never
	ClientKeepAlive   time.Duration // a client's host is asked after so long of silence whether it is there; 0 means never; 300 s by default
	DrainTimeout      time.Duration // time that requests in flight get at shutdown; default 10s

	MaxMemory           int64 // bytes held for clients and servers over all loops, at which the clients with most of it are closed; 0 (default): half of what the machine or the container has
	MaxRequest          int64 // bytes of one request, all arguments together; default 1 GiB, as Redis's client-query-buffer-limit
	MaxBulk             int64 // bytes of one argument; default 512 MiB, as Redis's proto-max-bulk-len
	MaxArgs             int   // arguments of one request; default 1048576
	ClientSubscriptions int   // channels and patterns that one client may be subscribed to, and prefixes that it may track; default 100000
	GatherLimit         int64 // bytes of sets from several shards that one SUNION, ZINTER and the like may gather; default 64 MiB
	TrackingKeys        int   // keys that a loop remembers for clients with CLIENT TRACKING, each for each client; beyond it some are invalidated early; default 1000000
	ClientPipeline      int   // requests of one client that await their replies; at the bound its socket is not read; default 1024
	ClientOutput        int64 // reply bytes waiting for one client above which its socket is not read; default 1 MiB
	ClientOutputLimit   int64 // reply bytes waiting for one client at which it is closed; default 1 GiB
	ServerQueue         int   // requests awaiting replies on one connection to a server; at the bound its clients are not read; default 65536
	ServerQueueBytes    int64 // unwritten request bytes for one connection to a server, same; default 64 MiB
	ServerReplyBytes    int64 // bytes of replies expected on one connection to a server; at the bound clients with large replies wait; default 32 MiB

	PubSubOutputLimit     int64         // bytes waiting for a client that is subscribed at which it is closed; default 32 MiB
	PubSubOutputSoft      int64         // key pubsub_output_soft_limit: the same if that many wait for PubSubOutputTime; default 8 MiB
	PubSubOutputTime      time.Duration // key pubsub_output_soft_time; default 60s
	SubscriberConnections int           // connections of a loop to each server for subscriptions, at most; clients are spread over them; default 8
	OnLostSubscription    string        // what becomes of clients when such a connection is lost: "keep" (default) or "close"
}

// Pool is one [pools.NAME] table: servers that look like one Redis behind one
// listen address.
type Pool struct {
	Name string

	Listen     Listen
	Backlog    int  // listen(2) backlog; default 512
	ReusePort  bool // SO_REUSEPORT on the listener
	MaxClients int  // key client_connections: clients of this pool; 0 (default) means no bound but Proxy.MaxClients

	Hash           string // default "xxhash64"
	Distribution   string // ketama (default), modula, random or bounded
	HashTag        string // two bytes such as "{}", or "" for none
	HashSignedChar bool   // default true: bytes from 0x80 are hashed as x86 builds of twemproxy do

	Timeout            time.Duration // from a request's arrival to its reply; 0 (default) means none
	ConnectTimeout     time.Duration // for one connection attempt; default 1s
	TCPKeepAlive       bool          // SO_KEEPALIVE on client and server sockets
	RedisAuth          string        // password clients must give and servers get; "" for none
	RedisDB            int           // database that clients find selected
	ACLUsers           int           // ACL users of the servers that clients may AUTH as; default 0: none but the pool's own
	Databases          int           // clients may SELECT those from 0 up to it; default 1: none but RedisDB
	Preconnect         bool          // connect at start instead of at the first request
	AutoEjectHosts     bool          // take a failed server off the ring until it answers again; key eject too
	ServerConnections  int           // connections of each loop to each server; default 1
	MergeSets          bool          // SETs that a client sends behind each other go to a server as one MSET; default false
	PinnedConnections  int           // connections, over all loops and servers, that clients may have to themselves; default 1024
	Restore            string        // what becomes of an ejected server's data before its keys come home: RestoreKeep or RestoreFlush
	ServerRetryTimeout time.Duration // an ejected server is not probed earlier; default 30s
	ServerFailureLimit int           // consecutive failures that eject; default 2

	DefaultServer string   // name of the server or shard for what concerns none in particular; "" for the first
	AllowCommands []string // guarded commands that are served all the same, lower case: "keys", "config|get"; a container means its subcommands
	DenyCommands  []string // commands that are refused, same; they have precedence

	Topology  string    // Static (default), Replicated, Sentinel or Cluster
	Servers   []Server  // Static: in twemproxy's index order, by length of Name, then bytes; Cluster: who to ask first, in the order of the text; else nil
	Shards    []Shard   // Replicated and Sentinel: in the same index order; else nil
	Sentinels []Address // Sentinel: where they listen; else nil

	RedisUser                  string // ACL user whose password RedisAuth is at the servers; "" for the default user
	SentinelUser, SentinelAuth string // what Sentinels are told; "" for the default user, and for none
	ServerTLS, SentinelTLS     *TLS   // how servers and Sentinels are spoken to; nil for in clear

	ReadFrom        string            // ReadPrimary (default), ReadPreferReplica, ReadReplica, ReadLowestLatency or ReadZone
	MaxReplicaLag   time.Duration     // a replica further behind its primary is not read; 0 means no bound; default 10s
	ReplyCheck      time.Duration     // how often a connection in use proves that its replies are in order; 0 for never
	HedgeAfter      time.Duration     // a read without reply for so long is sent to another server too; 0 (default) means never
	FailoverWait    time.Duration     // how long requests wait for a new primary; default 5s
	ProbeInterval   time.Duration     // how often servers, Sentinels and the Cluster are asked; default 1s
	ResolveInterval time.Duration     // how often host names are resolved again; 0 means at each connection only; default 10s
	AddressMap      map[string]string // addresses that servers and Sentinels tell, to those to connect to; see MapAddr
	Zones           []Zone            // which servers stand where; see ZoneOf
}

// Listen is the address a pool's clients connect to.
type Listen struct {
	Network string // "tcp" or "unix"
	Addr    string // "host:port" with IPv6 hosts in brackets, or an absolute path
	Mode    uint32 // permissions of a unix socket, such as 0o666; 0 leaves the umask's
}

// Server is one Redis process of a pool.
type Server struct {
	Name    string // the ring's name for it: as given, or as twemproxy derives it from the address
	Network string // "tcp" or "unix"
	Addr    string // as Listen.Addr
	Weight  int    // at least 1
}
