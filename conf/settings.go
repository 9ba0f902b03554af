package conf

import (
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ringway/hashring"
)

// setting is one key of a table, and the function that checks its value and stores
// it in a T.
type setting[T any] struct {
	name string
	set  func(v *value, into *T)
}

// proxySettings are the keys of the [proxy] table.
var proxySettings = []setting[Proxy]{
	{"watch_config", func(v *value, p *Proxy) { v.boolean(&p.WatchConfig) }},
	{"threads", func(v *value, p *Proxy) { v.integer(&p.Threads, 0, 1024) }},
	{"io_uring", func(v *value, p *Proxy) { v.boolean(&p.IOUring) }},
	{"statistics", func(v *value, p *Proxy) { v.boolean(&p.Statistics) }},
	{"stats_listen", setStatsListen},
	{"log_level", setLogLevel},
	{"audit_log", setAuditLog},
	{"instance", setInstance},
	{"zone", setZone},
	{"log_format", func(v *value, p *Proxy) { v.word(&p.LogFormat, []string{"text", "json"}) }},
	{"max_clients", func(v *value, p *Proxy) { v.integer(&p.MaxClients, 1, math.MaxInt32) }},
	{"client_idle_timeout", func(v *value, p *Proxy) { v.duration(&p.ClientIdleTimeout, 0) }},
	{"client_keepalive", setClientKeepAlive},
	{"drain_delay", func(v *value, p *Proxy) { v.duration(&p.DrainDelay, 0) }},
	{"drain_timeout", func(v *value, p *Proxy) { v.duration(&p.DrainTimeout, 0) }},
	{"max_memory", func(v *value, p *Proxy) { v.size(&p.MaxMemory, 1<<20, 1<<50) }},
	{"max_request", func(v *value, p *Proxy) { v.size(&p.MaxRequest, 1<<10, math.MaxInt32+1) }},
	{"max_bulk", func(v *value, p *Proxy) { v.size(&p.MaxBulk, 1<<10, math.MaxInt32+1) }},
	{"max_args", func(v *value, p *Proxy) { v.integer(&p.MaxArgs, 1, math.MaxInt32) }},
	{"client_subscriptions", func(v *value, p *Proxy) { v.integer(&p.ClientSubscriptions, 1, math.MaxInt32) }},
	{"gather_limit", func(v *value, p *Proxy) { v.size(&p.GatherLimit, 1<<10, math.MaxInt32) }},
	{"tracking_keys", func(v *value, p *Proxy) { v.integer(&p.TrackingKeys, 1, math.MaxInt32) }},
	{"client_pipeline", func(v *value, p *Proxy) { v.integer(&p.ClientPipeline, 1, math.MaxInt32) }},
	{"client_output", func(v *value, p *Proxy) { v.size(&p.ClientOutput, 1<<10, 1<<40) }},
	{"client_output_limit", func(v *value, p *Proxy) { v.size(&p.ClientOutputLimit, 1<<10, 1<<40) }},
	{"pubsub_output_limit", func(v *value, p *Proxy) { v.size(&p.PubSubOutputLimit, 1<<10, 1<<40) }},
	{"pubsub_output_soft_limit", func(v *value, p *Proxy) { v.size(&p.PubSubOutputSoft, 1<<10, 1<<40) }},
	{"pubsub_output_soft_time", func(v *value, p *Proxy) { v.duration(&p.PubSubOutputTime, time.Second) }},
	{"subscriber_connections", func(v *value, p *Proxy) { v.integer(&p.SubscriberConnections, 1, 1024) }},
	{"on_lost_subscription", func(v *value, p *Proxy) { v.word(&p.OnLostSubscription, []string{"keep", "close"}) }},
	{"server_queue", func(v *value, p *Proxy) { v.integer(&p.ServerQueue, 1, math.MaxInt32) }},
	{"server_queue_bytes", func(v *value, p *Proxy) { v.size(&p.ServerQueueBytes, 1<<10, 1<<40) }},
	{"server_reply_bytes", func(v *value, p *Proxy) { v.size(&p.ServerReplyBytes, 1<<10, 1<<40) }},
}

// poolSettings are the keys of a [pools.NAME] table: twemproxy's, and more.
var poolSettings = []setting[Pool]{
	{"listen", setListen},
	{"proxy_protocol", func(v *value, p *Pool) { v.boolean(&p.ProxyProtocol) }},
	{"proxy_protocol_from", func(v *value, p *Pool) { setNetworks(v, &p.ProxyProtocolFrom) }},
	{"allow_networks", func(v *value, p *Pool) { setNetworks(v, &p.AllowNetworks) }},
	{"deny_networks", func(v *value, p *Pool) { setNetworks(v, &p.DenyNetworks) }},
	{"hash", func(v *value, p *Pool) { v.placement(&p.Hash, hashring.HashNames()) }},
	{"hash_tag", setHashTag},
	{"together", setTogether},
	{"hash_signed_char", func(v *value, p *Pool) { v.boolean(&p.HashSignedChar) }},
	{"distribution", func(v *value, p *Pool) { v.placement(&p.Distribution, hashring.DistributionNames()) }},
	{"timeout", func(v *value, p *Pool) { v.duration(&p.Timeout, 0) }},
	{"connect_timeout", func(v *value, p *Pool) { v.duration(&p.ConnectTimeout, time.Millisecond) }},
	{"backlog", func(v *value, p *Pool) { v.integer(&p.Backlog, 1, math.MaxUint16) }},
	{"client_connections", func(v *value, p *Pool) { v.integer(&p.MaxClients, 0, math.MaxInt32) }},
	{"tcpkeepalive", func(v *value, p *Pool) { v.boolean(&p.TCPKeepAlive) }},
	{"reuseport", func(v *value, p *Pool) { v.boolean(&p.ReusePort) }},
	{"redis", setRedis},
	{"redis_auth", func(v *value, p *Pool) { setSecret(v, &p.RedisAuth) }},
	{"redis_auth_file", func(v *value, p *Pool) { setSecretFile(v, &p.RedisAuth) }},
	{"redis_user", func(v *value, p *Pool) { setUser(v, &p.RedisUser) }},
	{"redis_db", func(v *value, p *Pool) { v.integer(&p.RedisDB, 0, math.MaxInt32) }},
	{"acl_users", func(v *value, p *Pool) { v.integer(&p.ACLUsers, 0, 1<<10) }},
	{"users", setUsers},
	{"acl_file", setACLFile},
	{"limits", func(v *value, p *Pool) { setLimits(v, poolLimitSettings, &p.Limits) }},
	{"user_limits", func(v *value, p *Pool) { setLimits(v, limitSettings, &p.UserLimits) }},
	{"network_limits", func(v *value, p *Pool) { setLimits(v, networkLimitSettings, &p.NetworkLimits) }},
	{"databases", func(v *value, p *Pool) { v.integer(&p.Databases, 1, 1<<16) }},
	{"transactions", func(v *value, p *Pool) { v.word(&p.Transactions, []string{OneShard, PerShard}) }},
	{"client_setname", func(v *value, p *Pool) { v.boolean(&p.ClientSetName) }},
	{"slow_request", func(v *value, p *Pool) { v.duration(&p.SlowRequest, 0) }},
	{"log_keys", func(v *value, p *Pool) { v.word(&p.LogKeys, []string{"plain", "hash", "none"}) }},
	{"big_value", func(v *value, p *Pool) { v.size(&p.BigValue, 1<<10, math.MaxInt32+1) }},
	{"big_value_action", func(v *value, p *Pool) { v.word(&p.BigValueAction, []string{"log", "count", "refuse"}) }},
	{"merge_sets", func(v *value, p *Pool) { v.boolean(&p.MergeSets) }},
	{"preconnect", func(v *value, p *Pool) { v.boolean(&p.Preconnect) }},
	{"auto_eject_hosts", func(v *value, p *Pool) { v.boolean(&p.AutoEjectHosts) }},
	{"eject", setEject},
	{"server_connections", func(v *value, p *Pool) { v.integer(&p.ServerConnections, 1, 1024) }},
	{"pinned_connections", func(v *value, p *Pool) { v.integer(&p.PinnedConnections, 0, 1<<20) }},
	{"restore", func(v *value, p *Pool) { v.word(&p.Restore, restores) }},
	{"server_retry_timeout", func(v *value, p *Pool) { v.duration(&p.ServerRetryTimeout, time.Millisecond) }},
	{"server_failure_limit", func(v *value, p *Pool) { v.integer(&p.ServerFailureLimit, 1, math.MaxInt32) }},
	{"default_server", setDefaultServer},
	{"allow_commands", func(v *value, p *Pool) { v.commands(&p.AllowCommands, true) }},
	{"deny_commands", func(v *value, p *Pool) { v.commands(&p.DenyCommands, false) }},
	{"servers", setServers},
	{"topology", func(v *value, p *Pool) { v.word(&p.Topology, topologies) }},
	{"shards", setShards},
	{"sentinels", setSentinels},
	{"masters", setMasters},
	{"sentinel_user", func(v *value, p *Pool) { setUser(v, &p.SentinelUser) }},
	{"sentinel_auth", func(v *value, p *Pool) { setSecret(v, &p.SentinelAuth) }},
	{"sentinel_auth_file", func(v *value, p *Pool) { setSecretFile(v, &p.SentinelAuth) }},
	{"read_from", func(v *value, p *Pool) { v.word(&p.ReadFrom, readFroms) }},
	{"max_replica_lag", func(v *value, p *Pool) { v.duration(&p.MaxReplicaLag, 0) }},
	{"reply_check", func(v *value, p *Pool) { v.duration(&p.ReplyCheck, 0) }},
	{"hedge_after", func(v *value, p *Pool) { v.duration(&p.HedgeAfter, 0) }},
	{"failover_wait", func(v *value, p *Pool) { v.duration(&p.FailoverWait, 0) }},
	{"replica_acks", func(v *value, p *Pool) { v.word(&p.ReplicaAcks, []string{AcksAuto, AcksAlways, AcksNever}) }},
	{"probe_interval", func(v *value, p *Pool) { v.duration(&p.ProbeInterval, 10*time.Millisecond) }},
	{"resolve_interval", func(v *value, p *Pool) { v.duration(&p.ResolveInterval, 0) }},
	{"address_map", setAddressMap},
	{"zones", setZones},
	{"server_tls", func(v *value, p *Pool) { setTLS(v, &p.ServerTLS) }},
	{"sentinel_tls", func(v *value, p *Pool) { setTLS(v, &p.SentinelTLS) }},
	{"tls", func(v *value, p *Pool) { setClientTLS(v, &p.ClientTLS) }},
	{"plain_and_tls", func(v *value, p *Pool) { v.boolean(&p.PlainAndTLS) }},
	{"tls_user", func(v *value, p *Pool) { v.word(&p.TLSUser, tlsUsers) }},
}

var (
	proxyNames = namesOf(proxySettings)
	poolNames  = namesOf(poolSettings)
)

func namesOf[T any](settings []setting[T]) []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	return names
}

// tableSource is one table of the text, on its way into a Config.
type tableSource struct {
	report  *report
	partial bool // part of the table was left out because of its syntax
	node    *node
	values  map[string]any
	table   string // as diagnostics name it
	prefix  string // before the names of keys in diagnostics, such as "server_tls."

	misplaced  func(key string) string // why a key may not be in this table, "" if it may; nil if all keys may
	otherKeys  []string                // keys of another kind of table, to recognise those that are in the wrong one
	otherTable string                  // that table, as diagnostics name it
}

// read stores the values of a table in into, by its settings, and reports keys that are unknown or
// belong in another kind of table. It returns the known keys that unknown ones
// were probably meant to be.
func read[T any](in tableSource, settings []setting[T], into *T) (guessed []string) {
	names := namesOf(settings)
	for _, name := range in.node.names {
		at := in.node.table[name]
		i := slices.Index(names, name)
		if i < 0 {
			message := explainUnknownKey(name, names, in.otherKeys, in.otherTable)
			in.report.mistake(at.key, in.table, fmt.Sprintf("key %q %s", in.prefix+name, message))
			guessed = append(guessed, guessKeys(name, names)...)
			continue
		}
		if in.misplaced != nil {
			if message := in.misplaced(name); message != "" {
				in.report.mistake(at.key, in.table, name+" "+message)
				continue
			}
		}
		v := value{report: in.report, partial: in.partial, table: in.table, name: in.prefix + name, node: at, v: in.values[name], siblings: names}
		in.report.note(place{table: in.table, key: v.name}, at)
		if in.report.unset[at] {
			continue
		}
		settings[i].set(&v, into)
		v.warnLiteral()
	}
	return guessed
}

var logLevels = []string{"debug", "info", "warn", "error"}

func setLogLevel(v *value, p *Proxy) {
	word := "info"
	v.word(&word, logLevels)
	if i := slices.Index(logLevels, word); i >= 0 {
		p.LogLevel = [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}[i]
	}
}

// setAuditLog reads "stderr" or the absolute path of a file: a proxy may run in any directory.
func setAuditLog(v *value, p *Proxy) {
	s, ok := v.text("/var/log/ringway/audit.log")
	if !ok {
		return
	}
	if s != "" && s != AuditToStderr && !filepath.IsAbs(s) {
		v.fail(`want "stderr", or the path of a file from /, such as "/var/log/ringway/audit.log"; "" for no audit log`)
		return
	}
	p.AuditLog = s
}

// maxKeepAlive is the longest that Linux accepts.
const maxKeepAlive = 32767 * time.Second

// setClientKeepAlive reads a duration of whole seconds or more: TCP counts in seconds.
func setClientKeepAlive(v *value, p *Proxy) {
	d := p.ClientKeepAlive
	v.duration(&d, 0)
	switch {
	case d > 0 && d < time.Second:
		v.fail(`want 1s or more, or "0s" for never`)
	case d > maxKeepAlive:
		v.fail("want %s or less", maxKeepAlive)
	default:
		p.ClientKeepAlive = d
	}
}

func setListen(v *value, p *Pool) {
	s, ok := v.text("127.0.0.1:22121")
	if !ok {
		return
	}
	listen, err := parseListen(s)
	if err != nil {
		v.fail("%s", err)
		return
	}
	p.Listen = listen
}

func setHashTag(v *value, p *Pool) {
	s, ok := v.text("{}")
	if !ok {
		return
	}
	if len(s) != 2 && s != "" {
		v.fail(`want two bytes, the one that opens a tag and the one that closes it, such as "{}"; or "" for no hash tag, which is twemproxy's default`)
		return
	}
	p.HashTag = s
}

// setRedis accepts redis = true, which twemproxy's configurations have.
func setRedis(v *value, _ *Pool) {
	redis := true
	if v.boolean(&redis); !redis {
		v.fail("want true, or remove this key: memcache is not supported")
	}
}

// maxInstance is the longest name of an instance, in bytes.
const maxInstance = 64

// setInstance reads a name that can be a part of a connection's: Redis refuses spaces and other characters.
func setInstance(v *value, p *Proxy) {
	s, ok := v.text("ringway-1")
	switch {
	case !ok:
	case s == "" || len(s) > maxInstance || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '/' }):
		v.fail("want 1 to %d characters of ASCII, without spaces and slashes; or remove this key for host and process number", maxInstance)
	default:
		p.Instance = s
	}
}

// setUser reads the name of an ACL user. It can't contain spaces: Redis would split it
// there.
func setUser(v *value, into *string) {
	s, ok := v.text("ringway")
	switch {
	case !ok:
	case s == "" || hasControl(s) || strings.Contains(s, " "):
		v.fail("want the name of an ACL user, or remove this key for the default user")
	default:
		*into = s
	}
}

// The values of Pool.Restore.
const (
	RestoreKeep  = "keep"  // the server comes back with the data that it had
	RestoreFlush = "flush" // the server is emptied first
)

// The values of Pool.Transactions.
const (
	OneShard = "one_shard" // a transaction with keys of several shards is refused
	PerShard = "per_shard" // each shard's part is a transaction of its own
)

// The values of Pool.ReplicaAcks.
const (
	AcksAuto   = "auto"   // replies wait for the replicas while a Sentinel is not heard
	AcksAlways = "always" // they always do
	AcksNever  = "never"  // they never do
)

var restores = []string{RestoreKeep, RestoreFlush}

// ejects are the values of eject, for false and true of auto_eject_hosts.
var ejects = []string{"fail", "eject"}

func setEject(v *value, p *Pool) {
	word := ejects[0]
	if v.word(&word, ejects) {
		p.AutoEjectHosts = word == ejects[1]
	}
}

// setDefaultServer reads a name. checkTogether checks that such a server exists.
func setDefaultServer(v *value, p *Pool) {
	s, ok := v.text("alpha1")
	switch {
	case !ok:
	case s == "":
		v.fail("want the name of a server or shard, or remove this key")
	default:
		p.DefaultServer = s
	}
}
