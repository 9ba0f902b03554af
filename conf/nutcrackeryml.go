package conf

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringway/hashring"
)

// parseYAML is parse for nutcracker's configurations, which are YAML: a key for each pool, and its settings
// under it, with nutcracker's keys, values and defaults. All other settings have Ringway's defaults.
func parseYAML(r *report, text []byte, name, mode string) (*Config, []Diagnostic, error) {
	b, _, err := r.nutcracker(text, name, mode)
	if err != nil {
		return nil, r.warnings, err
	}
	return b.conf, r.warnings, nil
}

// nutcracker reads a nutcracker.yml, and returns the places of what is in it too.
func (r *report) nutcracker(text []byte, name, mode string) (*builder, *node, error) {
	values, root := decodeYAML(r)
	if values == nil {
		return nil, nil, r.err()
	}
	b := &builder{report: r, conf: Default()}
	b.conf.Path, b.conf.Nutcracker = name, true
	for _, pool := range root.names {
		b.nutcrackerPool(pool, root.table[pool], values[pool].(map[string]any))
	}
	switch left := b.conf.LeftOut; {
	case len(r.mistakes) > 0 || len(b.conf.Pools) > 0:
	case len(left) > 0:
		r.mistake(root.table[left[0]].key, poolTable(left[0]), "no pool remains: those without redis: true are pools of memcached servers, which Ringway does not serve; want redis: true if the servers are Redis")
	default:
		r.mistake(0, "", "no pool; "+wantYAML)
	}
	b.checkCycles(root)
	b.warnFile(mode)
	Sort(r.warnings)
	b.conf.lines, b.conf.Hash = r.places, r.hash()
	return b, root, r.err()
}

// nutcrackerSettings are the keys that a pool of nutcracker 0.5.0 has, and reuseport, which came
// later. Their values are strings, and servers a list of strings.
var nutcrackerSettings = []setting[nutcrackerTable]{
	{"listen", func(v *value, t *nutcrackerTable) { setListen(v, &t.Pool) }},
	{"hash", func(v *value, t *nutcrackerTable) { v.placement(&t.Hash, nutcrackerHashes) }},
	{"hash_tag", func(v *value, t *nutcrackerTable) { v.tag(&t.HashTag) }},
	{"distribution", func(v *value, t *nutcrackerTable) { v.placement(&t.Distribution, nutcrackerDistributions) }},
	{"timeout", func(v *value, t *nutcrackerTable) { v.milliseconds(&t.Timeout) }},
	{"backlog", func(v *value, t *nutcrackerTable) {
		v.digits(&t.Backlog, 0)
		t.Backlog = min(max(t.Backlog, 1), math.MaxUint16) // as the system does
	}},
	{"client_connections", func(v *value, t *nutcrackerTable) { v.digits(&t.clientConnections, 0) }},
	{"redis", func(v *value, t *nutcrackerTable) { v.truth(&t.redis) }},
	{"tcpkeepalive", func(v *value, t *nutcrackerTable) { v.truth(&t.TCPKeepAlive) }},
	{"reuseport", func(v *value, t *nutcrackerTable) { v.truth(&t.ReusePort) }},
	{"redis_auth", func(v *value, t *nutcrackerTable) { setSecret(v, &t.RedisAuth) }},
	{"redis_db", func(v *value, t *nutcrackerTable) { v.digits(&t.RedisDB, 0) }},
	{"preconnect", func(v *value, t *nutcrackerTable) { v.truth(&t.Preconnect) }},
	{"auto_eject_hosts", func(v *value, t *nutcrackerTable) { v.truth(&t.AutoEjectHosts) }},
	{"server_connections", func(v *value, t *nutcrackerTable) { v.digits(&t.ServerConnections, 1) }},
	{"server_retry_timeout", func(v *value, t *nutcrackerTable) {
		v.milliseconds(&t.ServerRetryTimeout)
		t.ServerRetryTimeout = max(t.ServerRetryTimeout, time.Millisecond)
	}},
	{"server_failure_limit", func(v *value, t *nutcrackerTable) {
		v.digits(&t.ServerFailureLimit, 0)
		t.ServerFailureLimit = max(t.ServerFailureLimit, 1) // nutcracker's 0 ejects at the first failure too
	}},
	{"servers", setNutcrackerServers},
}

var (
	nutcrackerNames         = namesOf(nutcrackerSettings)
	nutcrackerHashes        = filter(hashring.HashNames(), func(name string) bool { return name != "xxhash64" })
	nutcrackerDistributions = []string{"ketama", "modula", "random"}
	// onlyRingways are the keys that a nutcracker.yml can't have.
	onlyRingways = slices.DeleteFunc(slices.Concat(poolNames, proxyNames), func(name string) bool { return slices.Contains(nutcrackerNames, name) })
)

// nutcrackerTable is a pool of a nutcracker.yml while it is being read.
type nutcrackerTable struct {
	Pool
	redis             bool     // the servers are Redis, and not memcached
	clientConnections int      // which nutcracker reads and does not enforce
	writtenDB         int      // redis_db, also where nutcracker does not select it
	written           []string // the servers as they are written, in their order
}

// defaultNutcrackerPool returns a pool with nutcracker's defaults.
func defaultNutcrackerPool(name string) nutcrackerTable {
	p := DefaultPool(name)
	p.Hash, p.HashTag, p.Distribution = "fnv1a_64", "", "ketama"
	return nutcrackerTable{Pool: p}
}

// nutcrackerPool reads one pool. A pool of memcached servers is checked as the others, and left out.
func (b *builder) nutcrackerPool(name string, n *node, values map[string]any) {
	p := defaultNutcrackerPool(name)
	where, before := poolTable(name), len(b.report.mistakes)
	b.report.note(place{table: where}, n)
	if name == "" || hasControl(name) {
		b.report.mistake(n.key, "", fmt.Sprintf("pool name %q: want a name, without control characters", name))
	}
	for _, key := range slices.Clone(n.names) {
		if values[key] == nil { // a mistake of syntax, already reported
			n.names = slices.DeleteFunc(n.names, func(name string) bool { return name == key })
		}
	}
	guessed := read(tableSource{report: b.report, node: n, values: values, table: where,
		otherKeys: onlyRingways, otherTable: "a TOML configuration, which ringway convert writes"}, nutcrackerSettings, &p)
	for _, missing := range []struct{ key, example string }{
		{"listen", "the address for clients, such as listen: 127.0.0.1:22121"},
		{"servers", `a line for each server under it, such as "- 127.0.0.1:6379:1 alpha1"`},
	} {
		if n.table[missing.key] == nil && !slices.Contains(guessed, missing.key) && len(n.table) > 0 {
			b.report.mistake(n.key, where, fmt.Sprintf("%s is missing; want %s", missing.key, missing.example))
		}
	}
	if p.Listen.Addr != "" {
		b.checkListen(&p.Pool, n.table["listen"])
	}
	if len(p.Servers) > maxShards {
		b.report.mistake(serversNode(n).start, where, fmt.Sprintf("%d servers; want at most %d", len(p.Servers), maxShards))
	}
	p.Databases, p.writtenDB = defaultDatabases(&p.Pool), p.RedisDB
	b.oldDatabase(&p.Pool, n)
	if len(p.Servers) > 0 && len(b.report.mistakes) == before {
		if _, err := hashring.New(p.Ring()); err != nil {
			b.report.mistake(serversNode(n).start, where, err.Error())
		}
	}
	switch mistaken := len(b.report.mistakes) > before; {
	case !p.redis && mistaken:
		return
	case !p.redis:
		b.leaveOut(name, n)
		b.nutcracker = append(b.nutcracker, p)
		return
	}
	b.warnNutcrackerPool(&p, n)
	b.nutcracker = append(b.nutcracker, p)
	b.conf.Pools = append(b.conf.Pools, p.Pool)
}

// leaveOut warns of a pool of memcached servers.
func (b *builder) leaveOut(name string, n *node) {
	at, what := n, "there is no redis: true, so this is a pool of memcached servers"
	if redis := n.table["redis"]; redis != nil {
		at, what = redis, "redis: false means a pool of memcached servers"
	}
	b.report.warn(at.key, poolTable(name), what+", which Ringway does not serve: it is left out; want redis: true if the servers are Redis")
	b.conf.LeftOut = append(b.conf.LeftOut, name)
}

// oldDatabase sees to it that clients find the data that nutcracker wrote: it never selects redis_db if there
// is a password, or at servers on unix sockets.
func (b *builder) oldDatabase(p *Pool, n *node) {
	if p.RedisDB == 0 || len(p.Servers) == 0 {
		return
	}
	sockets := len(filter(serverNetworks(p), func(network string) bool { return network == "unix" }))
	at, table := n.table["redis_db"], poolTable(p.Name)
	const find = "nutcracker never selects the database then, so its data is in database 0, and database 0 is used here too; a TOML configuration, which ringway convert writes, can name another"
	switch {
	case p.RedisAuth != "":
		b.report.warn(at.key, table, fmt.Sprintf("redis_db %d with redis_auth: %s", p.RedisDB, find))
	case sockets == len(p.Servers):
		b.report.warn(at.key, table, fmt.Sprintf("redis_db %d with servers on unix sockets: %s", p.RedisDB, find))
	case sockets > 0:
		b.report.mistake(at.key, table, fmt.Sprintf("redis_db %d with servers on unix sockets, where nutcracker uses database 0, and others, where it uses database %d; want these in pools of their own", p.RedisDB, p.RedisDB))
		return
	default:
		return
	}
	p.RedisDB = 0
}

func serverNetworks(p *Pool) (networks []string) {
	for _, s := range p.Servers {
		networks = append(networks, s.Network)
	}
	return networks
}

// warnNutcrackerPool warns of settings that are each valid and do not fit together.
func (b *builder) warnNutcrackerPool(p *nutcrackerTable, n *node) {
	warn := func(key, format string, args ...any) {
		b.report.warn(n.table[key].key, poolTable(p.Name), fmt.Sprintf(format, args...))
	}
	if warning := hashring.Warn(p.Hash, p.Distribution); warning != "" {
		warn("hash", "%s", warning) // the default hash fits every distribution
	}
	if p.clientConnections > 0 {
		warn("client_connections", "client_connections %d: nutcracker reads it and accepts any number of clients all the same, and so does Ringway with this file; a TOML configuration, which ringway convert writes, can bound them", p.clientConnections)
	}
	if p.Listen.isReachable() && p.RedisAuth == "" {
		warn("listen", "listen %q: whoever can reach this machine can use the servers, since there is no password; want redis_auth, or an address that only clients reach", p.Listen.written())
	}
	if p.AutoEjectHosts && p.Timeout == 0 {
		warn("auto_eject_hosts", "auto_eject_hosts without a timeout: a server that hangs is never ejected, and its clients wait; want timeout: 400 or what clients would wait")
	}
}

// setNutcrackerServers reads the list of servers. Unlike in TOML each has its weight.
func setNutcrackerServers(v *value, t *nutcrackerTable) {
	list, ok := v.v.([]any)
	if !ok {
		v.fail(`want a list under it: a line "- host:port:weight name" for each server, with a space behind the dash`)
		return
	}
	for i, e := range list {
		switch s, ok := e.(string); {
		case !ok:
			return // a mistake of syntax, already reported
		case !weighted.MatchString(s) && weightForgotten(s):
			v.failAt(v.node.elems[i], fmt.Sprintf("entry %s: want a weight behind the port, as in \"%s\"", v.rawOf(v.node.elems[i]), withWeight(s)))
			return
		default:
			t.written = append(t.written, s)
		}
	}
	setRingServers(v, &t.Servers)
}

// weightForgotten reports whether a server is right but for its weight.
func weightForgotten(s string) bool {
	_, err := parseServer(s)
	return err == nil
}

// withWeight adds the weight 1 to a server.
func withWeight(s string) string {
	addr, name, named := strings.Cut(s, " ")
	if named {
		return addr + ":1 " + name
	}
	return addr + ":1"
}

// digits stores a number of at least low. nutcracker takes digits alone.
func (v *value) digits(into *int, low int) {
	s, ok := v.v.(string)
	n, err := strconv.Atoi(s)
	switch {
	case !ok || err != nil || !isDigits(s) || n > math.MaxInt32:
		v.fail("want a whole number, %s", span(low, math.MaxInt32))
	case n < low:
		v.fail("want %s", span(low, math.MaxInt32))
	default:
		*into = n
	}
}

// milliseconds stores a duration, which nutcracker has as a number of milliseconds.
func (v *value) milliseconds(into *time.Duration) {
	s, ok := v.v.(string)
	n, err := strconv.Atoi(s)
	d, isDuration := guessDuration(s)
	switch {
	case ok && err != nil && isDuration:
		v.fail("want a number of milliseconds: %d", d.Milliseconds())
	case !ok || err != nil || !isDigits(s) || n > math.MaxInt32:
		v.fail("want a number of milliseconds, such as 400")
	default:
		*into = time.Duration(n) * time.Millisecond
	}
}

// truth stores true or false, of which nutcracker knows no other spelling.
func (v *value) truth(into *bool) {
	s, ok := v.v.(string)
	meant, known := booleanOf(s)
	switch {
	case ok && (s == "true" || s == "false"):
		*into = s == "true"
	case ok && known:
		v.fail("want %t", meant)
	default:
		v.fail("want true or false")
	}
}

// tag stores the two bytes around the part of a key that is hashed.
func (v *value) tag(into *string) {
	s, ok := v.v.(string)
	if !ok || len(s) != 2 {
		v.fail(`want two characters, the one that opens a tag and the one that closes it, such as "{}"; or this key removed for no hash tag`)
		return
	}
	*into = s
}
