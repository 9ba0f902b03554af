package conf

import (
	"log/slog"
	"time"
)

// Default returns the configuration of an empty text: every setting of the
// [proxy] table, and no pool yet. Each call returns a fresh value.
func Default() *Config {
	return &Config{Proxy: Proxy{
		Threads:   0,              // one event loop per core
		IOUring:   true,           // costs a tenth less
		LogLevel:  slog.LevelInfo, // changes of state, nothing per connection
		LogFormat: "text",         // for a person to read

		MaxClients:          10000,             // Redis's maxclients
		ClientIdleTimeout:   0,                 // never, as Redis: pooled clients are silent for hours
		ClientKeepAlive:     300 * time.Second, // Redis's tcp-keepalive
		DrainTimeout:        10 * time.Second,  // well within the 30 s that supervisors give before they kill
		MaxMemory:           0,                 // half of what there is
		MaxRequest:          1 << 30,           // Redis's client-query-buffer-limit
		MaxBulk:             512 << 20,         // Redis's proto-max-bulk-len
		MaxArgs:             1 << 20,           // Redis's own bound before 7.0; nobody sends more on purpose
		ClientPipeline:      1024,              // deeper than clients pipeline to gain speed
		ClientSubscriptions: 100000,            // more than an application has use for
		GatherLimit:         64 << 20,          // a few sets of a million small members
		TrackingKeys:        1000000,           // Redis's tracking-table-max-keys
		ClientOutput:        1 << 20,           // some turns' worth of replies
		ClientOutputLimit:   1 << 30,           // one reply of two largest values, and no more
		ServerQueue:         65536,             // 64 clients at their client_pipeline
		ServerQueueBytes:    64 << 20,          // a second's worth for a slow network
		ServerReplyBytes:    32 << 20,          // below the output limits that servers are given

		PubSubOutputLimit:     32 << 20, // Redis's client-output-buffer-limit pubsub 32mb 8mb 60
		PubSubOutputSoft:      8 << 20,
		PubSubOutputTime:      time.Minute,
		SubscriberConnections: 8,      // a server gives up each at its limit: eight times as much in a burst
		OnLostSubscription:    "keep", // subscriptions come back by themselves
	}}
}

// DefaultPool returns the pool of a [pools.NAME] table that says nothing. It
// lacks what has no default: the address to listen on and the servers.
func DefaultPool(name string) Pool {
	return Pool{
		Name:       name,
		Backlog:    512, // twemproxy's
		ReusePort:  false,
		MaxClients: 0, // no bound but the proxy's

		Hash:           "xxhash64", // spreads short keys, which twemproxy's fnv1a_64 does not
		Distribution:   "ketama",   // twemproxy's; a lost server moves only its own keys
		HashTag:        "",         // twemproxy's
		HashSignedChar: true,       // x86 builds, which nearly all fleets run

		Timeout:            0,                // twemproxy's: none
		ConnectTimeout:     time.Second,      // one lost SYN is not sent again before that
		TCPKeepAlive:       false,            // twemproxy's
		RedisDB:            0,                // the only one that nearly everybody uses
		ACLUsers:           0,                // twemproxy's
		Databases:          1,                // each costs connections
		Preconnect:         false,            // twemproxy's
		AutoEjectHosts:     false,            // twemproxy's: right for data, wrong for caches
		MergeSets:          false,            // a server is asked what the client has asked
		ServerConnections:  1,                // keeps the order of requests; one is rarely the bottleneck
		PinnedConnections:  1024,             // a tenth of what a Redis accepts by default
		Restore:            RestoreKeep,      // what twemproxy does; and nobody loses data who has not asked for it
		ServerRetryTimeout: 30 * time.Second, // twemproxy's
		ServerFailureLimit: 2,                // twemproxy's

		Topology:        Static,                 // as a text from twemproxy has no such key
		ReadFrom:        ReadPrimary,            // replicas answer with the past
		MaxReplicaLag:   10 * time.Second,       // what a replica is behind while it is well is far less
		ReplyCheck:      100 * time.Millisecond, // ten ECHOs a second cost next to nothing
		HedgeAfter:      0,                      // never: it costs reads
		FailoverWait:    5 * time.Second,        // Sentinels need two to four after a primary died
		ProbeInterval:   time.Second,            // a Sentinel's own rhythm
		ResolveInterval: 10 * time.Second,       // names that move have short lives in DNS
	}
}
