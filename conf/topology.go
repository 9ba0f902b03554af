package conf

import (
	"errors"
	"fmt"
	"math"
	"net"
	"regexp"
	"slices"
	"strings"

	"ringway/hashring"
)

// The values of Pool.Topology: how Ringway finds the servers, and which of them take
// writes.
const (
	Static     = "static"     // each of Servers is a shard of its own, whose primary never changes
	Replicated = "replicated" // each of Shards lists a primary and its replicas, which are asked for their roles
	Sentinel   = "sentinel"   // Sentinels are asked for the primary and the replicas of each of Shards
	Cluster    = "cluster"    // a Redis Cluster is asked for its shards; Servers are asked first
)

var topologies = []string{Static, Replicated, Sentinel, Cluster}

// The values of Pool.ReadFrom: which server answers read-only commands. Replicas that
// are loading, have lost their primary or lag too far are never asked.
const (
	ReadPrimary       = "primary"        // the primary, so that a client reads what it wrote
	ReadPreferReplica = "prefer_replica" // a replica, or the primary if no replica is fit
	ReadReplica       = "replica"        // a replica; an error if no replica is fit
	ReadLowestLatency = "lowest_latency" // the server that answers fastest, replica or primary
	ReadZone          = "zone"           // a server in the proxy's own zone, or the primary if there is none
)

var readFroms = []string{ReadPrimary, ReadPreferReplica, ReadReplica, ReadLowestLatency, ReadZone}

// Shard is a place on the ring: a primary and its replicas.
type Shard struct {
	Name    string   // its name on the ring; in topology Sentinel the name of the master
	Weight  int      // at least 1
	Servers []Server // the primary and its replicas in any order; nil in topology Sentinel: the Sentinels know them
}

// Address is the address of a Sentinel.
type Address struct {
	Network string // "tcp"
	Addr    string // "host:port" with IPv6 hosts in brackets
}

// RingServers returns the pool's shards as package hashring knows them: Servers or
// Shards, with the same indices. It is nil for a Cluster, whose slots are on no ring.
// The result is the caller's.
func (p *Pool) RingServers() []hashring.Server {
	var servers []hashring.Server
	switch p.Topology {
	case Cluster:
	case Replicated, Sentinel:
		for _, s := range p.Shards {
			servers = append(servers, hashring.Server{Name: s.Name, Weight: s.Weight})
		}
	default:
		for _, s := range p.Servers {
			servers = append(servers, hashring.Server{Name: s.Name, Weight: s.Weight})
		}
	}
	return servers
}

// Ring returns the configuration from which hashring.New makes the pool's ring, with
// the indices of RingServers. A Cluster has no ring: hashring.Slot places its keys. The
// result is the caller's.
func (p *Pool) Ring() hashring.Config {
	return hashring.Config{
		Hash:         p.Hash,
		Distribution: p.Distribution,
		HashTag:      p.HashTag,
		UnsignedChar: !p.HashSignedChar,
		Together:     p.Together,
		Servers:      p.RingServers(),
	}
}

var errAddressForm = errors.New(`want "host:port" or "[ipv6]:port"`)

// parseAddress reads "host:port" or "[ipv6]:port".
func parseAddress(s string) (Address, error) {
	if err := refuseURL(s, "6379"); err != nil {
		return Address{}, err
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || strings.ContainsAny(s, " /") {
		return Address{}, errAddressForm
	}
	host, err := parseHost(s[:colon])
	if err != nil {
		return Address{}, err
	}
	port, err := parsePort(s[colon+1:], 1)
	if err != nil {
		return Address{}, err
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(s, "[") {
		return Address{}, fmt.Errorf("want brackets around an IPv6 address: %q", net.JoinHostPort(host, port))
	}
	return Address{Network: "tcp", Addr: net.JoinHostPort(host, port)}, nil
}

// parseMember reads one server of a shard or of a Cluster, which has neither weight nor
// name of its own.
func parseMember(s string) (Server, error) {
	a, err := parseAddress(s)
	if err != nil {
		if server, errRing := parseServer(s); errRing == nil && server.Network == "tcp" {
			return Server{}, fmt.Errorf("want no weight and no name: %q", server.Addr)
		}
		return Server{}, err
	}
	return Server{Name: a.Addr, Network: a.Network, Addr: a.Addr, Weight: 1}, nil
}

// setServers reads the servers of a static pool, or those to ask first of a Cluster.
func setServers(v *value, p *Pool) {
	if p.Topology == Cluster {
		setMembers(v, &p.Servers, map[string]*node{})
		return
	}
	setRingServers(v, &p.Servers)
}

// setRingServers reads servers each of which is a shard, with a name of its own. Two
// names for one address are allowed, as in twemproxy, but get a warning.
func setRingServers(v *value, into *[]Server) {
	names, addrs := map[string]*node{}, map[string]string{}
	v.list("127.0.0.1:6379:1 alpha1", func(at *node, s string) error {
		server, err := parseServer(s)
		if err != nil {
			return err
		}
		if first := names[server.Name]; first != nil {
			return fmt.Errorf("two servers of the name %q, the first in line %d; want another name, after a space", server.Name, v.report.line(first.start))
		}
		names[server.Name] = at
		v.noteEntry(server.Name, at)
		if first, ok := addrs[server.Addr]; ok {
			v.report.warn(at.start, v.table, fmt.Sprintf("servers entry %s: two names for one address, %q and %q: it gets the keys of both", v.rawOf(at), first, server.Name))
		}
		addrs[server.Addr] = server.Name
		*into = append(*into, server)
		return nil
	})
	slices.SortFunc(*into, func(a, b Server) int { return hashring.Compare(a.Name, b.Name) })
}

// setMembers reads servers without weight and name, in their order. Seen holds the
// addresses read so far, with their places.
func setMembers(v *value, into *[]Server, seen map[string]*node) {
	v.list("10.0.0.1:6379", func(at *node, s string) error {
		server, err := parseMember(s)
		if err != nil {
			return err
		}
		if err := v.checkOnce(seen, server.Addr, at); err != nil {
			return err
		}
		v.noteEntry(server.Name, at)
		*into = append(*into, server)
		return nil
	})
}

// checkOnce returns an error for an address that was read before.
func (v *value) checkOnce(seen map[string]*node, addr string, at *node) error {
	if first := seen[addr]; first != nil {
		return fmt.Errorf("the same address as in line %d; want each once", v.report.line(first.start))
	}
	seen[addr] = at
	return nil
}

func setSentinels(v *value, p *Pool) {
	seen := map[string]*node{}
	v.list("10.0.0.1:26379", func(at *node, s string) error {
		a, err := parseAddress(s)
		if err != nil {
			return err
		}
		if err := v.checkOnce(seen, a.Addr, at); err != nil {
			return err
		}
		p.Sentinels = append(p.Sentinels, a)
		return nil
	})
}

// masterName matches the names of masters that Sentinel accepts.
var masterName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// setMasters reads a list of "name" or "name:weight". Each master is a shard.
func setMasters(v *value, p *Pool) {
	names := map[string]*node{}
	v.list("sessions1", func(at *node, s string) error {
		name, weight, weighted := strings.Cut(s, ":")
		if !masterName.MatchString(name) {
			return errors.New(`want the name that the Sentinels know a master by, of letters, digits, ".", "-" and "_", and ":weight" if need be, such as "sessions1:2"`)
		}
		shard := Shard{Name: name, Weight: 1}
		if weighted {
			var err error
			if shard.Weight, err = parseWeight(weight); err != nil {
				return err
			}
		}
		if first := names[name]; first != nil {
			return fmt.Errorf("the same master as in line %d; want each once", v.report.line(first.start))
		}
		names[name] = at
		v.noteEntry(name, at)
		p.Shards = append(p.Shards, shard)
		return nil
	})
	sortShards(p.Shards)
}

func sortShards(shards []Shard) {
	slices.SortFunc(shards, func(a, b Shard) int { return hashring.Compare(a.Name, b.Name) })
}

// shardSettings are the keys of a [[pools.NAME.shards]] table.
var shardSettings = []setting[shardTable]{
	{"name", func(v *value, s *shardTable) {
		name, ok := v.text("jobs1")
		if ok && (name == "" || hasControl(name)) {
			v.fail("want a name, without control characters")
			return
		}
		s.Name = name
	}},
	{"weight", func(v *value, s *shardTable) { v.integer(&s.Weight, 1, math.MaxInt32) }},
	{"servers", func(v *value, s *shardTable) { setMembers(v, &s.Servers, s.seen) }},
}

// shardTable is a Shard while it is being read.
type shardTable struct {
	Shard
	seen map[string]*node // addresses of this and earlier shards
}

const shardsForm = `[[pools.NAME.shards]] tables, with double brackets, each with a name and servers = ["10.0.0.1:6379", "10.0.0.2:6379"]`

// setShards reads the shards of a replicated pool.
func setShards(v *value, p *Pool) {
	tables, ok := tablesOf(v.v)
	if !ok || len(tables) == 0 || len(tables) != len(v.node.elems) {
		v.failAt(v.node, "want "+shardsForm)
		return
	}
	names, seen := map[string]*node{}, map[string]*node{}
	for i, table := range tables {
		at := v.node.elems[i]
		shard := shardTable{Shard: Shard{Weight: 1}, seen: seen}
		in := tableSource{report: v.report, partial: v.partial, node: at, values: table, table: v.table, prefix: "shards.",
			otherKeys: v.siblings, otherTable: "the pool's own table, before the first [[...shards]]"}
		guessed := read(in, shardSettings, &shard)
		for _, key := range []string{"name", "servers"} {
			if at.table[key] == nil && !v.partial && !slices.Contains(guessed, key) {
				v.failAt(at, key+" is missing; want "+shardsForm)
			}
		}
		if first := names[shard.Name]; first != nil && shard.Name != "" {
			v.failAt(at.table["name"], fmt.Sprintf("name %q: the same as in line %d; want another", shard.Name, v.report.line(first.start)))
			continue
		}
		names[shard.Name] = at
		v.noteEntry(shard.Name, at)
		p.Shards = append(p.Shards, shard.Shard)
	}
	sortShards(p.Shards)
}

// tablesOf returns the tables of an array, written with headers or inline.
func tablesOf(v any) ([]map[string]any, bool) {
	if tables, ok := v.([]map[string]any); ok {
		return tables, true
	}
	list, ok := v.([]any)
	var tables []map[string]any
	for _, e := range list {
		table, isTable := e.(map[string]any)
		if !isTable {
			return nil, false
		}
		tables = append(tables, table)
	}
	return tables, ok
}

// ServerAuth returns the arguments of AUTH at the pool's servers: a password, or a user
// and a password; nil if there is no password. The result is the caller's.
func (p *Pool) ServerAuth() []string {
	switch {
	case p.RedisAuth == "":
		return nil
	case p.RedisUser != "":
		return []string{p.RedisUser, p.RedisAuth}
	}
	return []string{p.RedisAuth}
}
