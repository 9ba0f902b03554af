package conf

import (
	"log/slog"
	"time"
)

// Default returns the configuration of an empty text: the default of every setting
// of the [proxy] table, and no pool. The result is the caller's.
func Default() *Config {
	return &Config{Admin: Admin{Ready: ReadyAny}, Proxy: Proxy{
		WatchConfig: false,          // a change takes effect when somebody says so
		Threads:     0,              // one event loop per core
		IOUring:     true,           // a tenth less processor time
		Statistics:  true,           // metrics are worth their cost
		LogLevel:    slog.LevelInfo, // changes of state, nothing per connection
		LogFormat:   "text",         // people read it

		MaxClients:          10000,             // Redis's maxclients
		ClientIdleTimeout:   0,                 // never, as Redis: pooled clients are silent for hours
		ClientKeepAlive:     300 * time.Second, // Redis's tcp-keepalive
		DrainTimeout:        10 * time.Second,  // well within the 30 s that supervisors give before they kill
		MaxMemory:           0,                 // half of what there is
		MaxRequest:          1 << 30,           // Redis's client-query-buffer-limit
		MaxBulk:             512 << 20,         // Redis's proto-max-bulk-len
		MaxArgs:             1 << 24,           // Redis has no bound but bytes; the table of so many takes 384 MiB for a moment
		ClientPipeline:      1024,              // deeper pipelines gain no speed
		ClientSubscriptions: 100000,            // more than applications use
		GatherLimit:         64 << 20,          // a few sets of a million small members each
		TrackingKeys:        1000000,           // Redis's tracking-table-max-keys
		ClientOutput:        1 << 20,           // some turns' worth of replies
		ClientOutputLimit:   1 << 30,           // twice the largest value
		ServerQueue:         65536,             // 64 clients at their client_pipeline
		ServerQueueBytes:    64 << 20,          // a second's worth for a slow network
		ServerReplyBytes:    32 << 20,          // below the output limits that servers usually have

		PubSubOutputLimit:     32 << 20, // Redis's client-output-buffer-limit pubsub 32mb 8mb 60
		PubSubOutputSoft:      8 << 20,
		PubSubOutputTime:      time.Minute,
		SubscriberConnections: 8,      // a server closes each at its limit: eight take a burst of eight times that
		OnLostSubscription:    "keep", // the subscriptions come back by themselves
	}}
}

// defaultDatabases returns how many databases a pool has that does not say so: as many as a Redis. A
// Cluster has one. So has a pool with redis_db: SELECT 0, which client libraries send unasked, means
// that database there, and must not lead to another one's data.
func defaultDatabases(p *Pool) int {
	if p.Topology == Cluster || p.RedisDB > 0 {
		return 1
	}
	return p.Databases
}

// DefaultPool returns the pool of an empty [pools.NAME] table. Settings without a
// default are missing: the address to listen on, and the servers. The result is
// the caller's.
func DefaultPool(name string) Pool {
	return Pool{
		Name:       name,
		Backlog:    512, // twemproxy's
		ReusePort:  false,
		MaxClients: 0, // no bound but the proxy's

		Hash:           "xxhash64", // spreads short keys, which twemproxy's fnv1a_64 does not
		Distribution:   "ketama",   // twemproxy's; a lost server moves only its own keys
		HashTag:        "{}",       // a Cluster's, and what the manuals of job queues assume
		HashSignedChar: true,       // x86 builds, which nearly all fleets run

		Timeout:            0,                                       // twemproxy's: none
		ConnectTimeout:     time.Second,                             // a lost SYN is sent again only after that
		TCPKeepAlive:       false,                                   // twemproxy's
		NetworkLimits:      NetworkLimits{Prefix4: 32, Prefix6: 64}, // an address, or what one site has; no limits: nobody waits unasked
		RedisDB:            0,                                       // the one that nearly every application uses
		ACLUsers:           0,                                       // twemproxy's
		Databases:          16,                                      // a Redis's; see defaultDatabases
		Preconnect:         false,                                   // twemproxy's
		AutoEjectHosts:     false,                                   // twemproxy's: right for data, wrong for caches
		Transactions:       OneShard,                                // atomic, as clients expect
		ClientSetName:      true,                                    // whoever looks at a server sees whose they are
		SlowRequest:        10 * time.Millisecond,                   // Redis's slowlog-log-slower-than
		LogKeys:            "plain",                                 // an operator needs them
		BigValue:           1 << 20,                                 // a server is busy with it for a millisecond
		BigValueAction:     "log",                                   // nobody is refused unasked
		MergeSets:          false,                                   // servers get the commands that clients sent
		ServerConnections:  1,                                       // keeps the order of requests; one is rarely the bottleneck
		PinnedConnections:  1024,                                    // a tenth of what a Redis accepts by default
		TLSUser:            UserOff,                                 // who is let in is not who is who
		Restore:            RestoreKeep,                             // twemproxy's; data is deleted only if the configuration says so
		ServerRetryTimeout: 30 * time.Second,                        // twemproxy's
		ServerFailureLimit: 2,                                       // twemproxy's

		Topology:        Static,                 // twemproxy's configurations have no such key
		ReadFrom:        ReadPrimary,            // replicas may answer with older values
		MaxReplicaLag:   10 * time.Second,       // healthy replicas are far less behind
		ReplyCheck:      100 * time.Millisecond, // ten ECHOs a second cost next to nothing
		HedgeAfter:      0,                      // never: it costs extra reads
		FailoverWait:    5 * time.Second,        // Sentinels need two to four seconds after a primary died
		ReplicaAcks:     AcksAuto,
		ProbeInterval:   time.Second,      // Sentinels poll as often
		ResolveInterval: 10 * time.Second, // names that move have short times to live in DNS
	}
}
