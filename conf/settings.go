package conf

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"ringway/hashring"
)

// setting is one key of a table and how its value gets into a T.
type setting[T any] struct {
	name string
	set  func(v *value, into *T)
}

// proxySettings are the keys of the [proxy] table.
var proxySettings = []setting[Proxy]{
	{"threads", func(v *value, p *Proxy) { v.integer(&p.Threads, 0, 1024) }},
	{"log_level", setLogLevel},
	{"log_format", func(v *value, p *Proxy) { v.word(&p.LogFormat, []string{"text", "json"}) }},
	{"max_clients", func(v *value, p *Proxy) { v.integer(&p.MaxClients, 1, math.MaxInt32) }},
	{"client_idle_timeout", func(v *value, p *Proxy) { v.duration(&p.ClientIdleTimeout, 0) }},
	{"drain_timeout", func(v *value, p *Proxy) { v.duration(&p.DrainTimeout, 0) }},
	{"max_request", func(v *value, p *Proxy) { v.size(&p.MaxRequest, 1<<10, math.MaxInt32+1) }},
	{"max_bulk", func(v *value, p *Proxy) { v.size(&p.MaxBulk, 1<<10, math.MaxInt32+1) }},
	{"max_args", func(v *value, p *Proxy) { v.integer(&p.MaxArgs, 1, math.MaxInt32) }},
	{"client_pipeline", func(v *value, p *Proxy) { v.integer(&p.ClientPipeline, 1, math.MaxInt32) }},
	{"client_output", func(v *value, p *Proxy) { v.size(&p.ClientOutput, 1<<10, 1<<40) }},
	{"client_output_limit", func(v *value, p *Proxy) { v.size(&p.ClientOutputLimit, 1<<10, 1<<40) }},
	{"server_queue", func(v *value, p *Proxy) { v.integer(&p.ServerQueue, 1, math.MaxInt32) }},
	{"server_queue_bytes", func(v *value, p *Proxy) { v.size(&p.ServerQueueBytes, 1<<10, 1<<40) }},
}

// poolSettings are the keys of a [pools.NAME] table: twemproxy's, and
// hash_signed_char and connect_timeout.
var poolSettings = []setting[Pool]{
	{"listen", setListen},
	{"hash", func(v *value, p *Pool) { v.word(&p.Hash, hashring.HashNames()) }},
	{"hash_tag", setHashTag},
	{"hash_signed_char", func(v *value, p *Pool) { v.boolean(&p.HashSignedChar) }},
	{"distribution", func(v *value, p *Pool) { v.word(&p.Distribution, hashring.DistributionNames()) }},
	{"timeout", func(v *value, p *Pool) { v.duration(&p.Timeout, 0) }},
	{"connect_timeout", func(v *value, p *Pool) { v.duration(&p.ConnectTimeout, time.Millisecond) }},
	{"backlog", func(v *value, p *Pool) { v.integer(&p.Backlog, 1, math.MaxUint16) }},
	{"client_connections", func(v *value, p *Pool) { v.integer(&p.MaxClients, 0, math.MaxInt32) }},
	{"tcpkeepalive", func(v *value, p *Pool) { v.boolean(&p.TCPKeepAlive) }},
	{"reuseport", func(v *value, p *Pool) { v.boolean(&p.ReusePort) }},
	{"redis", setRedis},
	{"redis_auth", setRedisAuth},
	{"redis_db", func(v *value, p *Pool) { v.integer(&p.RedisDB, 0, math.MaxInt32) }},
	{"preconnect", func(v *value, p *Pool) { v.boolean(&p.Preconnect) }},
	{"auto_eject_hosts", func(v *value, p *Pool) { v.boolean(&p.AutoEjectHosts) }},
	{"server_connections", func(v *value, p *Pool) { v.integer(&p.ServerConnections, 1, 1024) }},
	{"pinned_connections", func(v *value, p *Pool) { v.integer(&p.PinnedConnections, 0, 1<<20) }},
	{"server_retry_timeout", func(v *value, p *Pool) { v.duration(&p.ServerRetryTimeout, time.Millisecond) }},
	{"server_failure_limit", func(v *value, p *Pool) { v.integer(&p.ServerFailureLimit, 1, math.MaxInt32) }},
	{"default_server", setDefaultServer},
	{"allow_commands", func(v *value, p *Pool) { v.commands(&p.AllowCommands, true) }},
	{"deny_commands", func(v *value, p *Pool) { v.commands(&p.DenyCommands, false) }},
	{"servers", setServers},
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

// read sets what a table of the text says and reports keys that are unknown or
// belong in the other kind of table. It returns the known keys that were
// probably meant by unknown ones.
func read[T any](b *builder, n *node, values map[string]any, table string, settings []setting[T], into *T, elsewhere []string, other string) (guessed []string) {
	names := namesOf(settings)
	for _, name := range n.names {
		at := n.table[name]
		if i := slices.Index(names, name); i >= 0 {
			v := value{report: b.report, table: table, name: name, node: at, v: values[name]}
			settings[i].set(&v, into)
			continue
		}
		message := unknown(name, names)
		if slices.Contains(elsewhere, name) {
			message = "belongs in " + other
		}
		b.report.mistake(at.key, table, fmt.Sprintf("key %q %s", name, message))
		if g := nearest(name, names); g != "" {
			guessed = append(guessed, g)
		}
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
	if len(s) != 2 {
		v.fail(`want two bytes, the one that opens a tag and the one that closes it, such as "{}"`)
		return
	}
	p.HashTag = s
}

// setRedis accepts what twemproxy needs to be told, so that its settings can be
// copied over.
func setRedis(v *value, _ *Pool) {
	redis := true
	if v.boolean(&redis); !redis {
		v.fail("want true or no such key: memcache is not supported")
	}
}

// setRedisAuth keeps the password out of the report.
func setRedisAuth(v *value, p *Pool) {
	s, ok := v.v.(string)
	switch {
	case !ok:
		v.failAt(v.node, "is no string; want the password in quotes")
	case s == "":
		v.failAt(v.node, "is empty; want a password, or no such key")
	default:
		p.RedisAuth = s
	}
}

// setDefaultServer reads a name; whether there is such a server is checked when
// all servers are known.
func setDefaultServer(v *value, p *Pool) {
	s, ok := v.text("alpha1")
	switch {
	case !ok:
	case s == "":
		v.fail("want the name of a server, or no such key")
	default:
		p.DefaultServer = s
	}
}

// setServers reads the list of servers, each of which must have a name of its
// own. Two names for one address are allowed, as in twemproxy, but earn a
// warning.
func setServers(v *value, p *Pool) {
	const want = `a list of quoted strings, such as ["127.0.0.1:6379:1 alpha1"]`
	list, ok := v.v.([]any)
	if !ok || len(list) != len(v.node.elems) {
		v.fail("want %s", want)
		return
	}
	if len(list) == 0 {
		v.fail("want at least one, in %s", want)
		return
	}
	names, addrs := map[string]*node{}, map[string]string{}
	for i, e := range list {
		at := v.node.elems[i]
		written := "entry " + v.rawOf(at) + ": "
		s, ok := e.(string)
		if !ok {
			v.failAt(at, written+`want a quoted string, such as "127.0.0.1:6379:1 alpha1"`)
			continue
		}
		server, err := parseServer(s)
		if err != nil {
			v.failAt(at, written+err.Error())
			continue
		}
		if first := names[server.Name]; first != nil {
			v.failAt(at, fmt.Sprintf("%stwo servers of the name %q, the first in line %d; want another name, after a space", written, server.Name, v.report.line(first.start)))
			continue
		}
		names[server.Name] = at
		if first, ok := addrs[server.Addr]; ok {
			v.report.warn(at.start, v.table, fmt.Sprintf("servers %stwo names for one address, %q and %q: it gets the keys of both", written, first, server.Name))
		}
		addrs[server.Addr] = server.Name
		p.Servers = append(p.Servers, server)
	}
	slices.SortFunc(p.Servers, func(a, b Server) int { return hashring.Compare(a.Name, b.Name) })
}
